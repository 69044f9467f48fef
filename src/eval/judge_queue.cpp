#include "eval/judge_queue.h"

namespace teeny {

JudgeQueue::JudgeQueue(ProgramJudge& judge, size_t jobs, const Context& context) : judge_(judge), verdicts_(jobs) {
  context_.device = context.device;
  context_.threads = context.threads;
  context_.seed = context.seed;
  context_.log = context.log;
  context_.interrupted = context.interrupted;
  thread_ = std::thread([this] { work(); });
}

JudgeQueue::~JudgeQueue() {
  {
    std::lock_guard lock(mutex_);
    closed_ = dropped_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void JudgeQueue::push(size_t index, Job job) {
  {
    std::lock_guard lock(mutex_);
    waiting_.emplace_back(index, std::move(job));
  }
  wake_.notify_all();
}

std::vector<Verdict> JudgeQueue::finish() {
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }
  wake_.notify_all();
  thread_.join();
  if (failure_) std::rethrow_exception(failure_);
  return std::move(verdicts_);
}

void JudgeQueue::work() {
  for (;;) {
    std::vector<std::pair<size_t, Job>> batch;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return closed_ || !waiting_.empty(); });
      if (dropped_ || failure_ || waiting_.empty()) {
        if (closed_) return;
        waiting_.clear();  // after a failure: swallow, finish() reports it
        continue;
      }
      batch.swap(waiting_);
    }
    std::vector<Job> jobs;
    for (auto& [index, job] : batch) jobs.push_back(std::move(job));
    try {
      auto verdicts = judge_.run(jobs, context_);
      for (size_t i = 0; i < batch.size(); ++i) verdicts_[batch[i].first] = std::move(verdicts[i]);
    } catch (...) {
      std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
    }
  }
}

}  // namespace teeny
