// Completions as they are written, kept in the cache until the task is done, so that an interrupted run can go on.
#pragma once
#include <fstream>
#include <map>
#include <string>

#include "teeny/core/context.h"
#include "teeny/core/json.h"

namespace teeny {

class Journal {
 public:
  // `key`: everything that decides a completion. With `resume` what a run with the same key has left is taken up. A cache
  // that cannot be written costs the ability to resume and nothing else.
  Journal(const Json& key, bool resume, Context& context);
  const std::map<size_t, std::string>& found() const { return found_; }  // by index
  void add(size_t index, const std::string& text);  // from one thread at a time
  void finished();  // removes the file

 private:
  std::string path_;
  std::ofstream out_;
  std::map<size_t, std::string> found_;
};

}  // namespace teeny
