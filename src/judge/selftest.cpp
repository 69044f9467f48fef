#include "judge/selftest.h"

#include <span>

#include "teeny/core/error.h"

namespace teeny::judge {
namespace {

struct Probe {
  const char* name;
  bool needed_unsandboxed;  // the probes of right and wrong hold without a sandbox too
  std::string_view expected;
  const char* program;
};

// Each program defines f(); the test asserts that it returns True. A probe must do no harm where it succeeds: ptrace
// seizes without stopping (0x4206, PTRACE_SEIZE), kill sends signal 0.
const Probe kPython[] = {
    {"right program passes", true, category::kPassed, "def f():\n    return True\n"},
    {"wrong program fails", true, category::kWrong, "def f():\n    return False\n"},
    {"network blocked", false, category::kPassed,
     "def f():\n    import socket\n    try:\n        socket.socket().connect(('127.0.0.1', 1))\n    except PermissionError:\n        return True\n    except OSError as e:\n        return e.errno == 101\n    return False\n"},
    {"writing outside blocked", false, category::kPassed,
     "def f():\n    import os\n    for path in ('/usr/teeny-probe', '/var/tmp/teeny-probe', '/dev/shm/../../teeny-probe', '/home/teeny-probe'):\n"
     "        try:\n            open(path, 'w').close()\n            os.unlink(path)\n            return False\n        except OSError:\n            pass\n    return True\n"},
    {"reading secrets blocked", false, category::kPassed,
     "def f():\n    import os\n    if len(os.environ) > 8:\n        return False\n    for path in ('/etc/passwd', '/proc/%d/environ' % os.getppid()):\n"
     "        try:\n            if open(path).read():\n                return False\n        except OSError:\n            pass\n    return True\n"},
    {"ptrace blocked", false, category::kPassed,
     "def f():\n    import ctypes, os\n    libc = ctypes.CDLL(None, use_errno=True)\n    return libc.ptrace(0x4206, os.getppid(), None, None) == -1 and ctypes.get_errno() == 1\n"},
    {"processes limited", false, category::kPassed,
     "def f():\n    import os, signal, time\n    pids = []\n    try:\n        for _ in range(64):\n            pid = os.fork()\n            if not pid:\n"
     "                time.sleep(5)\n                os._exit(0)\n            pids.append(pid)\n        return False\n    except OSError:\n        return len(pids) < 40\n"
     "    finally:\n        for pid in pids:\n            os.kill(pid, signal.SIGKILL)\n"},
    {"killing the parent blocked", false, category::kPassed,
     "def f():\n    import os\n    try:\n        os.kill(os.getppid(), 0)\n        return os.getppid() == 1 or os.stat('/proc/1').st_uid == os.getuid() and os.getppid() < 10\n    except OSError:\n        return True\n"},
    {"memory limited", false, category::kMemory, "def f():\n    return len(bytearray(3 << 30)) > 0\n"},
};

const Probe kJavaScript[] = {
    {"right program passes", true, category::kPassed, "function f() { return true; }"},
    {"wrong program fails", true, category::kWrong, "function f() { return false; }"},
    {"writing outside blocked", false, category::kPassed,
     "function f() { try { require('fs').writeFileSync('/var/tmp/teeny-probe', ''); return false; } catch { return true; } }"},
    {"reading secrets blocked", false, category::kPassed,
     "function f() { try { require('fs').readFileSync('/etc/passwd'); return false; } catch { return Object.keys(process.env).length < 9; } }"},
    {"network blocked", false, category::kPassed,
     "function f() { const s = require('dgram').createSocket('udp4'); try { s.bind(1024); return s._handle === null || s._handle.fd < 0; } catch { return true; } }"},
};

// For every language a function that doubles a number, right and wrong.
struct Sample {
  std::string_view language;
  const char *entry_point, *prompt, *right, *wrong, *test;
};

const Sample kSamples[] = {
    {"python", "twice", "def twice(n):\n", "    return n + n\n", "    return n\n", "def check(candidate):\n    assert candidate(3) == 6\n"},
    {"js", "twice", "function twice(n){\n", "  return n + n;\n}\n", "  return n;\n}\n", "require('node:assert').deepEqual(twice(3), 6);\n"},
    {"ts", "twice", "function twice(n: number): number {\n", "  return n + n;\n}\n", "  return n;\n}\n",
     "declare var require: any;\nconst assert = require('node:assert');\nassert.deepEqual(twice(3), 6);\n"},
    {"php", "twice", "<?php\nfunction twice($n) {\n", "    return $n + $n;\n}\n", "    return $n;\n}\n",
     "if (twice(3) !== 6) { throw new Exception(\"Test failed!\"); }\n"},
    {"sh", "twice", "#!/bin/bash\ntwice() {\n", "    echo $(($1 + $1))", "    echo $1", "}\nset -e\n[[ $(twice \"3\") = \"6\" ]]\n"},
    {"cpp", "twice", "#include<assert.h>\n#include<bits/stdc++.h>\nlong twice(long n) {\n", "    return n + n;", "    return n;",
     "}\nint main() {\n    auto candidate = twice;\n    assert(candidate((3)) == (6));\n}\n"},
    {"java", "twice", "import java.util.*;\nimport org.javatuples.*;\nclass Problem {\n    public static long twice(long n) {\n", "        return n + n;", "        return n;",
     "    }\n    public static void main(String[] args) {\n    assert(twice((3l)) == (6l));\n    }\n\n}\n"},
    {"cs", "Twice", "using System;\nusing System.Diagnostics;\nusing System.Collections.Generic;\nclass Problem {\n    public static long Twice(long n) {\n", "        return n + n;",
     "        return n;", "    }\n    public static void Main(string[] args) {\n    Debug.Assert(Twice((3L)) == (6L));\n    }\n\n}\n"},
};

Json run_probes(const SessionOptions& options, std::span<const Probe> probes, const Problem& problem, bool& passed) {
  Json out = Json::object();
  Peer driver;
  for (const Probe& probe : probes) {
    if (options.sandbox->tier() == Tier::Unsandboxed && !probe.needed_unsandboxed) {
      out[probe.name] = "not tried: there is no sandbox";
      continue;
    }
    Verdict v = judge_program(options, problem, probe.program, driver);
    bool ok = v.category == probe.expected;
    out[probe.name] = ok ? std::string("ok") : fmt::format("{}: {}", v.category, v.detail);
    if (!ok) passed = false;
    if (!ok && &probe == probes.data()) break;  // nothing runs: the other probes would say the same
  }
  return out;
}

}  // namespace

Json self_test(const SessionOptions& options, bool& passed) {
  passed = true;
  Problem problem;
  problem.task_id = "self-test";
  problem.language = options.toolchain->language->id;
  problem.entry_point = std::string(1, 'f');
  if (problem.language == "python") {
    problem.test = "def check(candidate):\n    assert candidate() is True\n";
    return run_probes(options, kPython, problem, passed);
  }
  if (problem.language != "js") return language_self_test(options, passed);
  problem.test = "require('node:assert').strictEqual(f(), true);";
  return run_probes(options, kJavaScript, problem, passed);
}

Json language_self_test(const SessionOptions& options, bool& passed) {
  passed = true;
  for (const Sample& sample : kSamples) {
    if (sample.language != options.toolchain->language->id) continue;
    Problem problem;
    problem.task_id = "self-test";
    problem.language = sample.language;
    problem.entry_point = sample.entry_point;
    problem.prompt = sample.prompt;
    problem.test = sample.test;
    Json out = Json::object();
    for (const bool right : {true, false}) {
      Peer driver;
      const Verdict v = judge_program(options, problem, problem.prompt + (right ? sample.right : sample.wrong), driver);
      const bool ok = v.category == (right ? category::kPassed : category::kWrong);
      out[right ? "right program passes" : "wrong program fails"] = ok ? std::string("ok") : fmt::format("{}: {}", v.category, v.detail);
      passed = passed && ok;
    }
    return out;
  }
  passed = false;
  return "no self-test";
}

}  // namespace teeny::judge
