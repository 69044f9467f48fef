// Hands completions to the judge on a thread of its own while the model generates the next ones.
#pragma once
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "eval/job.h"

namespace teeny {

class JudgeQueue {
 public:
  JudgeQueue(ProgramJudge& judge, size_t jobs, const Context& context);
  ~JudgeQueue();  // waits for what is being judged; drops the rest
  JudgeQueue(const JudgeQueue&) = delete;
  JudgeQueue& operator=(const JudgeQueue&) = delete;
  void push(size_t index, Job job);
  std::vector<Verdict> finish();  // waits for all; rethrows what the judge threw

 private:
  void work();

  ProgramJudge& judge_;
  Context context_;  // of the judging thread: no progress of its own
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::pair<size_t, Job>> waiting_;
  std::vector<Verdict> verdicts_;
  bool closed_ = false, dropped_ = false;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace teeny
