// Shell programs under bash: a worker that loads the program and answers calls with what the function prints, and a
// driver that runs the test with a function in the program's place. bash cannot read bytes by count, so od and head do.
#include "judge/language.h"

namespace teeny::judge {
namespace {

// Strings are bytes (LC_ALL=C); NUL cannot be in them. write_frame: $1 is the payload.
constexpr const char* kCodec = R"sh(
export LC_ALL=C
teeny_read_frame() {
  local n
  n=$(od -An -tu4 -N4 <&3) || exit 0
  n=$((n))
  [ "$n" -gt 0 ] || exit 0
  teeny_frame=$(head -c "$n" <&3; printf x)
  teeny_frame=${teeny_frame%x}
}
teeny_write_frame() {
  local n=${#1} a
  printf -v a '\\%03o\\%03o\\%03o\\%03o' $((n & 255)) $((n >> 8 & 255)) $((n >> 16 & 255)) $((n >> 24 & 255))
  { printf "$a"; printf '%s' "$1"; } >&4
}
teeny_fields() {
  local rest=$1 n
  teeny_list=()
  while [ -n "$rest" ]; do
    n=${rest%%:*}
    case $n in ''|*[!0-9]*) return ;; esac
    rest=${rest#*:}
    teeny_list+=("${rest:0:n}")
    rest=${rest:n}
  done
}
)sh";

// The program's functions are read with the judge's channel closed; each call runs in a subshell, as $(...) does.
// One that runs into the limit of CPU time (status 152) takes the worker with it.
constexpr const char* kWorker = R"sh(
teeny_read_frame
teeny_fields "${teeny_frame:1}"
teeny_entry=${teeny_list[0]}
printf '%s\n' "${teeny_list[1]}" >/tmp/program
teeny_reply() { teeny_write_frame "L${#1}:$1${#2}:$2${#3}:$3"; }
if ! teeny_errors=$(bash -n /tmp/program 2>&1); then
  case $teeny_errors in *'unexpected end of file'*|*'looking for matching'*) teeny_reply truncated '' "$teeny_errors" ;; *) teeny_reply syntax '' "$teeny_errors" ;; esac
  exit 0
fi
. /tmp/program 3<&- 4>&-
if ! declare -F -- "$teeny_entry" >/dev/null; then teeny_reply name '' "the program does not define $teeny_entry"; exit 0; fi
teeny_reply ok '' ''
while teeny_read_frame; do
  teeny_fields "${teeny_frame:1}"
  teeny_out=$( ("$teeny_entry" "${teeny_list[@]}" 3<&- 4>&- </dev/null); teeny_status=$?; printf x; exit $teeny_status)
  [ $? = 152 ] && kill -XCPU $$
  teeny_write_frame "Rv${teeny_out%x}"
done
)sh";

constexpr const char* kDriver = R"sh(
teeny_read_frame
teeny_fields "${teeny_frame:1}"
teeny_nonce=${teeny_list[0]} teeny_entry=${teeny_list[1]} teeny_test=${teeny_list[3]}
teeny_verdict() { teeny_write_frame "V${#teeny_nonce}:$teeny_nonce${#1}:$1${#2}:$2${#3}:$3"; exit 0; }
printf '%s\n' "$teeny_test" >/tmp/test
teeny_errors=$(bash -n /tmp/test 2>&1) || teeny_verdict unsupported '' "the test cannot be run: $teeny_errors"
teeny_ask() {
  local call=C a
  for a in "$@"; do call+="${#a}:$a"; done
  teeny_write_frame "$call"
  teeny_read_frame
  printf '%s' "${teeny_frame:2}"
}
eval "$teeny_entry() { teeny_ask \"\$@\"; }"
( . /tmp/test )
teeny_status=$?
[ "$teeny_status" = 0 ] && teeny_verdict ok '' ''
teeny_verdict wrong '' "the test ended with status $teeny_status"
)sh";

std::vector<std::string> command(const Language::Tools& tools, const char* program) {
  return {tools[0], "--noprofile", "--norc", "-c", std::string(kCodec) + program};
}

}  // namespace

Language shell_language() {
  Language l;
  l.id = "sh";
  l.preferred = {"/usr/bin/bash", "/bin/bash"};
  l.executables = {"bash"};
  l.packages = "bash";
  l.stops = {"\n}"};
  l.version_arguments = {"--version"};
  l.worker = [](const Language::Tools& tools) { return command(tools, kWorker); };
  l.driver = [](const Language::Tools& tools) { return command(tools, kDriver); };
  l.address_space = 1ull << 30;
  l.starts_processes = true;
  l.one_shot_driver = true;
  l.entry = {"{", "\"$@\"", "", "()"};  // the test wraps it
  l.complaints_explain = true;
  l.complaints = {{"command not found", "name"}};
  return l;
}

}  // namespace teeny::judge
