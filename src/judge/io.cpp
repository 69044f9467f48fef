#include "judge/io.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace teeny::judge {
namespace {
constexpr size_t kKeep = 32 << 10;
}

bool drain(const Fd& fd, std::string* into, Capture* capture) {
  char buffer[65536];
  for (int round = 0; round < 64; ++round) {
    ssize_t got = read(fd.get(), buffer, sizeof buffer);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    if (into) into->append(buffer, size_t(got));
    if (capture) capture->add({buffer, size_t(got)});
  }
  return true;
}

std::string printable(std::string_view text, size_t limit) {
  std::string out(text.substr(0, limit));
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 32 && c != '\n' && c != '\t') c = ' ';
  while (!out.empty() && (out.back() == '\n' || out.back() == ' ')) out.pop_back();
  return out;
}

void Capture::add(std::string_view bytes) {
  total_ += bytes.size();
  size_t head = std::min(bytes.size(), kKeep - std::min(kKeep, head_.size()));
  head_.append(bytes.substr(0, head));
  bytes.remove_prefix(head);
  if (bytes.size() > kKeep) bytes.remove_prefix(bytes.size() - kKeep), tail_.clear();
  tail_.append(bytes);
  if (tail_.size() > 2 * kKeep) tail_.erase(0, tail_.size() - kKeep);
}

std::string Capture::text() const {
  std::string tail = tail_.size() > kKeep ? tail_.substr(tail_.size() - kKeep) : tail_;
  if (total_ <= head_.size() + tail.size()) return head_ + tail;
  return head_ + "\n[...]\n" + tail;
}

}  // namespace teeny::judge
