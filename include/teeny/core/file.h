// Files: read with pread (a file cut while it is read is an error, not SIGBUS), write to a temporary name and rename.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace teeny {

// A read-only regular file. Opening anything else (a FIFO, a device, a directory) is an Input error.
class File {
 public:
  explicit File(const std::string& path);
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }
  int64_t mtime_ns() const { return mtime_ns_; }
  // Fills `out` from byte `offset`; a short read throws Input. Safe from several threads at once.
  void read(uint64_t offset, std::span<std::byte> out) const;

 private:
  std::string path_;
  int fd_ = -1;
  uint64_t size_ = 0;
  int64_t mtime_ns_ = 0;
};

// A file being written: "<path>.part" until commit() flushes it to disk and gives it its name. Without commit() the
// destructor removes it. Every failed write throws Device with the bytes needed and free.
class OutputFile {
 public:
  explicit OutputFile(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  void write(std::span<const std::byte> bytes);  // appends
  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }
  void write_at(uint64_t offset, std::span<const std::byte> bytes);
  uint64_t position() const { return position_; }
  void commit();

 private:
  std::string path_, part_;
  int fd_ = -1;
  uint64_t position_ = 0;
  bool committed_ = false;
};

// A directory being written: "<path>.part/" until commit() renames it. With `replace`, an existing directory is moved
// aside, and removed only after the new one has its name. Without commit() everything written is removed.
class OutputDirectory {
 public:
  OutputDirectory(const std::string& path, bool replace);
  ~OutputDirectory();
  OutputDirectory(const OutputDirectory&) = delete;
  OutputDirectory& operator=(const OutputDirectory&) = delete;
  const std::string& working_path() const { return part_; }  // write files here
  void commit();

 private:
  std::string path_, part_;
  bool replace_, committed_ = false;
};

std::string read_file(const std::string& path, uint64_t max_bytes = 1ull << 30);  // Input error beyond max_bytes
void write_file(const std::string& path, std::string_view text);                  // atomic, through OutputFile
bool path_exists(const std::string& path);
bool is_directory(const std::string& path);
std::string path_join(std::string_view directory, std::string_view name);
// Device error "needs X MB, Y MB free at <path>" when the file system that will hold `path` has less than `bytes` free.
void require_free_space(const std::string& path, uint64_t bytes);
std::string human_bytes(uint64_t bytes);                // "14.7 MB" (decimal)
std::string sha256_hex(std::string_view data);
std::string sha256_file(const std::string& path);
// The name of a model's folder. In the cache of the Hugging Face hub (.../models--org--name/snapshots/<commit>) that is
// "name", not the commit.
std::string model_folder_name(const std::string& folder);
// The folder configs/ of the source tree or share/teeny of an installation, found from the executable's own place.
std::string config_directory();

}  // namespace teeny
