#include "hub/retry.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <thread>

namespace teeny::hub {
namespace {

constexpr double kLongestWait = 300;

void pause(double seconds, const Context& context, const std::atomic<bool>* stop) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end) {
    context.check_interrupted();
    if (stop && stop->load()) throw Error(ErrorKind::Interrupted, "hub", "download", "stopped: another download failed");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

// Seconds; the other form, a date, is left to our own pauses.
double retry_after(const Hop& hop) {
  const std::string* text = hop.find("retry-after");
  double seconds = -1;
  if (text) std::from_chars(text->data(), text->data() + text->size(), seconds);
  return seconds >= 0 ? seconds : -1;
}

[[noreturn]] void throw_not_allowed(const Answer& answer, const std::string& what, const HubSettings& settings) {
  const std::string* said = answer.find("x-error-code");
  const std::string code = said ? *said : "";
  if (answer.status == 404 && (code == "EntryNotFound" || code == "RevisionNotFound" || answer.url.find("/resolve/") != std::string::npos))
    throw input_error("hub", what, "{} does not exist there ({}); check the spelling", code == "RevisionNotFound" ? "that revision" : "it", answer.url);
  if (answer.status == 404) throw input_error("hub", what, "does not exist on {}, neither as a path here (404); check the spelling and the revision", settings.endpoint);
  if (answer.status == 403 || code == "GatedRepo")
    throw input_error("hub", what, "is gated ({}); accept its licence at {}/{} while logged in, then set HF_TOKEN to a token that may read it ({}/settings/tokens)",
                      answer.status, settings.endpoint, what, settings.endpoint);
  if (settings.token.empty())
    throw input_error("hub", what, "does not exist on {}, or is private or gated (401); check the spelling, or set HF_TOKEN ({}/settings/tokens) after accepting its licence page",
                      settings.endpoint, settings.endpoint);
  throw input_error("hub", what, "is refused with this token (401); the token is wrong or expired, or may not read it: see {}/settings/tokens", settings.endpoint);
}

}  // namespace

void require_success(const Answer& answer, const std::string& what, const HubSettings& settings) {
  if (answer.status == 200 || answer.status == 206) return;
  if (answer.status == 408 || answer.status == 425 || answer.status == 429 || answer.status >= 500) {
    const double wait = retry_after(answer);
    if (wait > kLongestWait) throw device_error("hub", what, "the server answers {} and asks to wait {:.0f} seconds; try again then", answer.status, wait);
    throw Transient{fmt::format("{} answers {}", origin_of(answer.url), answer.status), wait};
  }
  if (answer.status == 401 || answer.status == 403 || answer.status == 404) throw_not_allowed(answer, what, settings);
  throw device_error("hub", what, "{} answers {}, which is not expected", answer.url, answer.status);
}

void with_retries(const std::string& subject, const HubSettings& settings, const Context& context, const std::atomic<bool>* stop,
                  const std::function<void()>& attempt, const std::function<bool()>& progressed) {
  for (int failed = 0;;) {
    try {
      return attempt();
    } catch (const Transient& problem) {
      failed = progressed && progressed() ? 1 : failed + 1;
      const int most = problem.unreachable ? std::min(settings.attempts, 3) : settings.attempts;
      if (failed >= most) {
        const std::string what = fmt::format("{} (tried {} times); check the network, and run the same command again: it goes on where it stopped", problem.what, failed);
        if (problem.unreachable) throw Unreachable(ErrorKind::Device, "hub", subject, what);
        throw device_error("hub", subject, "{}", what);
      }
      context.debug(fmt::format("{}: {}; trying again", subject, problem.what));
      pause(problem.wait >= 0 ? problem.wait : std::min(0.5 * (1 << std::min(failed - 1, 6)), 20.0), context, stop);
    }
  }
}

}  // namespace teeny::hub
