#include "judge/session.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <random>

#include "judge/watch.h"
#include "teeny/core/error.h"

namespace teeny::judge {
namespace {

constexpr uint32_t kMaxFrame = 64u << 20;
constexpr double kWallFactor = 10, kDriverCpuFactor = 10;
using Clock = std::chrono::steady_clock;

std::string frame(char kind, std::string_view body) {
  uint32_t size = uint32_t(body.size() + 1);
  std::string out(4, '\0');
  for (int i = 0; i < 4; ++i) out[size_t(i)] = char(size >> (8 * i) & 0xff);
  out += kind;
  out += body;
  return out;
}

std::string nonce() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", device(), device(), device(), device());
}

std::string_view category_of(std::string_view kind) {
  static const std::pair<std::string_view, std::string_view> table[] = {
      {"wrong", category::kWrong}, {"syntax", category::kSyntax}, {"truncated", category::kEmpty}, {"name", category::kName},
      {"type", category::kType}, {"memory", category::kMemory}, {"refused", category::kRefused}, {"time", category::kTime}, {"output", category::kOutput}, {"unsupported", category::kNotRun}};
  for (auto& [key, value] : table)
    if (key == kind) return value;
  return category::kException;
}

// What a worker may say of a failed call. Without this a program could report the driver's own words: ok, unsupported.
std::string honest_reply(std::string_view reply) {
  if (reply.empty() || reply[0] != 'x') return std::string(reply);
  std::vector<std::string> fields = netstrings(reply.substr(1));
  fields.resize(3);
  const bool known = fields[0] == "syntax" || fields[0] == "truncated" || fields[0] == "name" || fields[0] == "type" || fields[0] == "memory" || fields[0] == "refused";
  return "x" + netstring(known ? fields[0] : "exception") + netstring(fields[1]) + netstring(fields[2]);
}

class Session {
 public:
  Session(const SessionOptions& options, const Problem& problem, Peer& driver)
      : options_(options), problem_(problem), driver_(driver), nonce_(nonce()), started_(Clock::now()) {}

  Verdict run(const std::string& source) {
    if (!prepare(source + closing(problem_))) return verdict_;
    start();
    while (!done_) {
      wait_for_events();
      handle_frames();
      if (!done_) check_limits();
      if (!done_) check_alive();
    }
    return finish();
  }

 private:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - started_).count(); }

  const Language& language() const { return *options_.toolchain->language; }

  // Compiles program and test, each apart, where the language does that. False: decided already.
  bool prepare(const std::string& program) {
    loads_ = netstring(problem_.entry_point) + netstring(program);
    if (!language().compiler) return true;
    try {
      if (const std::string test = language().driver_source(problem_); !test.empty()) {
        const auto built = options_.tests->get(*options_.sandbox, *options_.toolchain, test, options_.interrupted);
        if (!built->ok) return decide(category::kNotRun, "the test cannot be compiled: " + built->message), false;
        driver_loads_ = built->output;
      }
      Build built = build(*options_.sandbox, *options_.toolchain, language().worker_source(problem_, program), options_.interrupted);
      if (!built.ok) return decide(category_of(built.kind), built.message), false;
      loads_ = std::move(built.output);
    } catch (const Error& error) {
      return decide(category::kNotRun, error.what()), false;
    }
    return true;
  }

  void start() {
    const auto& tools = options_.toolchain->tools;
    started_ = Clock::now();
    if (!driver_.process.alive()) {
      driver_ = Peer();
      driver_.process = Process(options_.sandbox->plan(language().driver(tools), {0, language().address_space * 2, true, language().processes}));
    }
    if (!driver_loads_.empty()) driver_.send('P', driver_loads_);
    worker_.process = Process(options_.sandbox->plan(language().worker(tools), {cpu_limit(), language().address_space, false, language().processes}));
    worker_.send('P', loads_);
  }

  double cpu_limit() const { return options_.timeout_s + language().startup_cpu_s; }

  void decide(std::string_view category, std::string detail) {
    if (done_) return;
    done_ = true;
    verdict_.category = category;
    verdict_.detail = printable(detail);
    verdict_.passed = category == category::kPassed;
    verdict_.ran = category != category::kNotRun;
    verdict_.timed_out = category == category::kTime;
  }

  void pump(Peer& peer, pollfd* polled) {
    Process& p = peer.process;
    if (polled[0].revents && !peer.sending.empty()) {
      ssize_t sent = write(p.to.get(), peer.sending.data() + peer.sent, peer.sending.size() - peer.sent);
      if (sent > 0) peer.sent += size_t(sent);
      else if (sent < 0 && errno != EAGAIN && errno != EINTR) peer.sent = peer.sending.size(), peer.closed = true;
      if (peer.sent == peer.sending.size()) peer.sending.clear(), peer.sent = 0;
    }
    if (polled[1].revents && !drain(p.from, &peer.received, nullptr)) peer.closed = true, p.from.reset();
    if (polled[2].revents && !drain(p.out, nullptr, &peer.output)) p.out.reset();
    if (polled[3].revents && !drain(p.err, nullptr, &peer.errors)) p.err.reset();
    if (polled[4].revents) peer.closed = true;
  }

  void wait_for_events() {
    pollfd fds[10];
    Peer* peers[2] = {&worker_, &driver_};
    for (int i = 0; i < 2; ++i) {
      Process& p = peers[i]->process;
      int numbers[5] = {peers[i]->sending.empty() ? -1 : p.to.get(), p.from.get(), p.out.get(), p.err.get(), p.exited.get()};
      for (int j = 0; j < 5; ++j) fds[i * 5 + j] = {numbers[j], short(j == 0 ? POLLOUT : POLLIN), 0};
    }
    if (poll(fds, 10, kTickMs) <= 0) return;
    for (int i = 0; i < 2; ++i) pump(*peers[i], fds + i * 5);
  }

  // Takes one whole frame out of what a peer sent.
  bool next_frame(Peer& peer, std::string& out) {
    if (peer.received.size() < 4) return false;
    uint32_t size = 0;
    for (int i = 0; i < 4; ++i) size |= uint32_t(static_cast<unsigned char>(peer.received[size_t(i)])) << (8 * i);
    if (size == 0 || size > kMaxFrame) {
      if (&peer == &driver_) driver_.process.kill_and_wait();
      decide(category::kOutput, fmt::format("a value of {} bytes was sent (at most {})", size, kMaxFrame));
      return false;
    }
    if (peer.received.size() < 4 + size_t(size)) return false;
    out = peer.received.substr(4, size);
    peer.received.erase(0, 4 + size_t(size));
    return true;
  }

  void handle_frames() {
    std::string f;
    while (!done_ && next_frame(worker_, f)) from_worker(f);
    while (!done_ && next_frame(driver_, f)) from_driver(f);
  }

  void from_worker(const std::string& f) {
    if (f[0] == 'L' && !loaded_) {
      loaded_ = true;
      std::vector<std::string> status = netstrings(std::string_view(f).substr(1));
      if (status.size() != 3) return decide(category::kException, "the program broke the judge's channel while it loaded");
      if (status[0] != "ok") return decide(category_of(status[0] == "unsupported" ? "exception" : status[0]), status[1] + ": " + status[2]);
      driver_.send('J', netstring(nonce_) + netstring(problem_.entry_point) + netstring(problem_.prelude + problem_.prompt) +
                            netstring(language().test_text ? language().test_text(problem_) : test_without_closing(problem_)) +
                            netstring(std::to_string(options_.timeout_s * kDriverCpuFactor)));
      driver_busy_ = true;
    } else if (f[0] == 'R' && calling_) {
      calling_ = false;
      answered_ = true;
      driver_.send('R', honest_reply(std::string_view(f).substr(1)));
    } else {
      decide(category::kWrong, "the program wrote to the judge's channel by itself");
    }
  }

  void from_driver(const std::string& f) {
    if (f[0] == 'C' && driver_busy_ && !calling_) {
      calling_ = true;
      ++calls_;
      worker_.send('C', std::string_view(f).substr(1));
      return;
    }
    std::vector<std::string> fields = netstrings(std::string_view(f).substr(1));
    if (f[0] != 'V' || fields.size() != 4 || fields[0] != nonce_) {
      driver_.process.kill_and_wait();
      return decide(category::kNotRun, "the test process broke its protocol; please report this problem set");
    }
    driver_busy_ = false;
    if ((fields[1] == "ok" || fields[1] == "wrong") && calls_ == 0) return decide(category::kNotRun, "the test never called the program");
    if (fields[1] == "ok") return decide(category::kPassed, "");
    if (fields[1] == "wrong" && language().complaints_explain && explained_by_complaints()) return;
    decide(category_of(fields[1]), fields[2] + (fields[3].empty() ? "" : ": " + fields[3]));
  }

  void check_limits() {
    if (options_.interrupted && options_.interrupted->load()) return decide(category::kNotRun, "interrupted");
    if (worker_.output.total() + worker_.errors.total() > options_.output_quota)
      return decide(category::kOutput, fmt::format("printed more than {} bytes", options_.output_quota));
    if (seconds() > options_.timeout_s * kWallFactor)
      return decide(category::kTime, fmt::format("{:.1f} s on the wall clock (limit {} times {} s of CPU time)", seconds(), kWallFactor, options_.timeout_s));
    double now = seconds();
    if (now - last_look_ < kTickMs * 1e-3 || worker_.closed) return;
    last_look_ = now;
    look(false);
    if (usage_.memory_bytes > options_.memory_bytes) look(true);
    if (usage_.memory_bytes > options_.memory_bytes)
      return decide(category::kMemory, fmt::format("used {} MiB (limit {} MiB)", usage_.memory_bytes >> 20, options_.memory_bytes >> 20));
    if (usage_.cpu_seconds > cpu_limit())
      decide(category::kTime, fmt::format("{:.2f} s of CPU time (limit {} s)", usage_.cpu_seconds, options_.timeout_s));
  }

  void look(bool precise) {
    Usage u = tree_usage(worker_.process.pid(), precise);
    usage_.cpu_seconds = std::max(usage_.cpu_seconds, u.cpu_seconds);
    usage_.memory_bytes = u.memory_bytes;
  }

  void check_alive() {
    if (driver_.closed) {
      int status = driver_.process.wait();
      return decide(category::kNotRun, fmt::format("{} (status {}): {}", answered_ ? kTestDied : "the test process ended", status, printable(driver_.errors.text())));
    }
    if (worker_.closed) decide_death();
  }

  bool explained_by_complaints() {
    const std::string errors = worker_.errors.text();
    for (auto& [text, kind] : language().complaints)
      if (size_t at = errors.find(text); at != std::string::npos) return decide(category_of(kind), errors.substr(errors.rfind('\n', at) + 1)), true;
    return false;
  }

  // The program ended before it had answered everything.
  void decide_death() {
    // A grace of one tick: the channel may be closed by a program that lives on.
    pollfd exited{worker_.process.exited.get(), POLLIN, 0};
    bool ended = poll(&exited, 1, kTickMs) > 0;
    int status = ended ? worker_.process.wait() : worker_.process.kill_and_wait();
    usage_.cpu_seconds = std::max(usage_.cpu_seconds, worker_.process.reaped_cpu_seconds());
    if (!ended) return decide(category::kException, "the program closed the judge's channel");
    int signal = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) > 128 ? WEXITSTATUS(status) - 128 : 0;
    std::string errors = worker_.errors.text();
    if (signal == SIGXCPU || (signal == SIGKILL && usage_.cpu_seconds >= cpu_limit() * 0.95))
      return decide(category::kTime, fmt::format("{:.2f} s of CPU time (limit {} s)", usage_.cpu_seconds, options_.timeout_s));
    if (explained_by_complaints()) return;
    if (signal == SIGKILL) return decide(category::kMemory, "killed, most likely for memory");
    if (signal == SIGSYS) return decide(category::kRefused, "killed for a refused system call");
    if (signal == SIGXFSZ) return decide(category::kOutput, "wrote a file beyond the limit");
    if (!loaded_ && WIFEXITED(status) && (WEXITSTATUS(status) == kSetupFailed || errors.starts_with("bwrap:")))
      return decide(category::kNotRun, std::string(kSandboxFailed) + errors);
    decide(category::kException, signal ? fmt::format("ended by signal {}", signal)
                                        : fmt::format("exited with status {} before it had answered; {}", WEXITSTATUS(status), errors));
  }

  Verdict finish() {
    if (worker_.process.alive()) {
      look(false);
      worker_.process.kill_and_wait();
      usage_.cpu_seconds = std::max(usage_.cpu_seconds, worker_.process.reaped_cpu_seconds());
    }
    if (driver_busy_ || language().one_shot_driver) driver_.process.kill_and_wait();  // in the middle of a test: it starts afresh next time
    verdict_.cpu_seconds = usage_.cpu_seconds;
    verdict_.wall_seconds = seconds();
    verdict_.output_bytes = worker_.output.total() + worker_.errors.total();
    return verdict_;
  }

  const SessionOptions& options_;
  const Problem& problem_;
  Peer& driver_;
  Peer worker_;
  std::string nonce_, loads_, driver_loads_;
  Clock::time_point started_;
  bool done_ = false, loaded_ = false, calling_ = false, answered_ = false, driver_busy_ = false;
  double last_look_ = 0;
  int64_t calls_ = 0;
  Usage usage_;
  Verdict verdict_;
};

}  // namespace

void Peer::send(char kind, std::string_view body) { sending += frame(kind, body); }

Verdict judge_program(const SessionOptions& options, const Problem& problem, const std::string& source, Peer& driver) {
  SigpipeBlock block;
  return Session(options, problem, driver).run(source);
}

std::string run_command(const Sandbox& sandbox, const Toolchain& toolchain, const std::vector<std::string>& arguments) {
  std::vector<std::string> command{toolchain.path()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  Process process(sandbox.plan(command, {10, toolchain.language->address_space, false, toolchain.language->processes}));
  std::string out;
  auto deadline = Clock::now() + std::chrono::seconds(10);
  while (Clock::now() < deadline) {
    pollfd fds[2] = {{process.out.get(), POLLIN, 0}, {process.err.get(), POLLIN, 0}};
    if (fds[0].fd < 0) break;
    if (poll(fds, 2, kTickMs) <= 0) continue;
    Capture ignored;
    if (fds[1].revents && !drain(process.err, nullptr, &ignored)) process.err.reset();
    if (fds[0].revents && !drain(process.out, &out, nullptr)) process.out.reset();
  }
  pollfd exited{process.exited.get(), POLLIN, 0};
  if (poll(&exited, 1, 1000) <= 0) return "";
  int status = process.wait();
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? printable(out, 200) : "";
}

}  // namespace teeny::judge
