// Programs that attack the judge: none may get a verdict it has not earned, none may touch anything outside.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "teeny/core/error.h"
#include "teeny/judge/judge.h"

namespace teeny {
namespace {

// "fail": must not pass. "pass": right, and the attack must have been stopped. Otherwise the expected category.
struct Attack {
  const char* name;
  std::string_view expected;
  std::string program;
};

std::vector<Attack> python_exits() {
  return {
      {"sys.exit at top", "fail", "import sys\nsys.exit(0)\n"},
      {"sys.exit in call", "fail", "def f(x):\n    import sys\n    sys.exit(0)\n"},
      {"SystemExit at top", "fail", "raise SystemExit(0)\n"},
      {"os._exit at top", "fail", "import os\nos._exit(0)\n"},
      {"os._exit in call", "fail", "def f(x):\n    import os\n    os._exit(0)\n"},
      {"libc exit", "fail", "def f(x):\n    import ctypes\n    ctypes.CDLL(None)._exit(0)\n"},
      {"exit after a right answer", "fail", "def f(x):\n    import os\n    if x == 3:\n        return 6\n    os._exit(0)\n"},
      {"raise KeyboardInterrupt", "fail", "def f(x):\n    raise KeyboardInterrupt\n"},
      {"raise AssertionError", category::kException, "def f(x):\n    raise AssertionError\n"},
      {"speaks as the sandbox", "fail", "import os\nos.write(2, b'bwrap: no\\n')\nos._exit(1)\n"},
      {"atexit", "fail", "import atexit, os\natexit.register(os._exit, 0)\ndef f(x):\n    return 0\n"},
      {"abort", "fail", "def f(x):\n    import os\n    os.abort()\n"},
      {"kill itself", "fail", "def f(x):\n    import os\n    os.kill(os.getpid(), 9)\n"},
  };
}

std::vector<Attack> python_values() {
  return {
      {"__eq__ always true", "fail", "class A:\n    def __eq__(self, o): return True\n    def __ne__(self, o): return False\ndef f(x):\n    return A()\n"},
      {"int subclass", "fail", "class I(int):\n    def __eq__(self, o): return True\n    __hash__ = int.__hash__\ndef f(x):\n    return I(1)\n"},
      {"str subclass", "fail", "class S(str):\n    def __eq__(self, o): return True\n    __hash__ = str.__hash__\ndef f(x):\n    return S('z')\n"},
      {"list subclass", "fail", "class L(list):\n    def __eq__(self, o): return True\ndef f(x):\n    return L()\n"},
      {"lying __class__", "fail", "class A:\n    __class__ = int\n    def __eq__(self, o): return True\n    def __index__(self): return 6\n    def __add__(self, o): return 6\ndef f(x):\n    return A()\n"},
      {"mock any", "fail", "from unittest.mock import ANY\ndef f(x):\n    return ANY\n"},
      {"generator", category::kWrong, "def f(x):\n    yield 6\n"},
      {"function", category::kWrong, "def f(x):\n    return f\n"},
      {"cyclic list", "fail", "def f(x):\n    a = []\n    a.append(a)\n    return a\n"},
      {"huge value", "fail", "def f(x):\n    return 'x' * (80 << 20)\n"},
      {"patched builtins", "fail", "import builtins\nbuiltins.isinstance = lambda *a: True\nbuiltins.AssertionError = Exception\ndef f(x):\n    return 0\n"},
      {"replaces check", "fail", "def check(candidate):\n    pass\ndef f(x):\n    return 0\n"},
      {"settrace", "fail", "import sys\nsys.settrace(lambda *a: None)\ndef f(x):\n    return 0\n"},
      {"frame walk",  "fail", "def f(x):\n    import sys\n    g = sys._getframe()\n    while g:\n        for k in list(g.f_globals):\n            if k in ('status', 'function', 'reply'):\n                g.f_globals[k] = ('ok', '', '')\n        g = g.f_back\n    return 0\n"},
      {"replaces the codec", "fail", "import __main__\n__main__.encode = lambda x, out, depth=0: out.append(b'i6;')\ndef f(x):\n    return 0\n"},
      {"replaces modules", "fail", "import sys\nfor m in list(sys.modules): sys.modules[m] = None\ndef f(x):\n    return 0\n"},
      {"modules for the test", "fail", "for m in ('ast', 'random', 'resource', 'sitecustomize'):\n    open('/tmp/' + m + '.py', 'w').write('import os; os._exit(0)')\ndef f(x):\n    return 0\n"},
      {"deep nesting", "fail", "def f(x):\n    return " + std::string(40000, '(') + "6" + std::string(40000, ')') + "\n"},
      {"NUL in the source", "fail", std::string("def f(x):\n    return 0\n\0#", 24)},
      {"gc walk", "fail", "def f(x):\n    import gc\n    for o in gc.get_objects():\n        if type(o) is list:\n            try: o.append('passed')\n            except Exception: pass\n    return 0\n"},
  };
}

std::vector<Attack> python_channels() {
  const std::string forge = "import os\ndef frame(b):\n    return len(b).to_bytes(4, 'little') + b\n";
  return {
      {"prints passed", "fail", "def f(x):\n    print('passed\\nok\\n1\\n' * 10)\n    return 0\n"},
      {"writes a verdict", "fail", forge + "def f(x):\n    os.write(4, frame(b'V' + b'32:' + b'0' * 32 + b'2:ok0:0:'))\n    return 0\n"},
      {"writes to every descriptor", "fail", forge + "def f(x):\n    for fd in range(256):\n        try: os.write(fd, frame(b'V0:2:ok0:0:'))\n        except OSError: pass\n    return 0\n"},
      {"forged replies at load", "fail", forge + "for _ in range(50):\n    os.write(4, frame(b'Rvi6;'))\ndef f(x):\n    return 0\n"},
      {"reports that it passed", category::kException, forge + "def f(x):\n    import time\n    os.write(4, frame(b'Rx2:ok0:0:'))\n    time.sleep(100)\n"},
      {"reports that it cannot be judged", category::kException, forge + "def f(x):\n    import time\n    os.write(4, frame(b'Rx11:unsupported0:0:'))\n    time.sleep(100)\n"},
      {"malformed reply", "fail", forge + "def f(x):\n    os.write(4, frame(b'Rvl99999999999:'))\n    return 0\n"},
      {"deep reply", "fail", forge + "def f(x):\n    os.write(4, frame(b'Rv' + b'l1:' * 100000 + b'N'))\n    return 0\n"},
      {"closes the channel", "fail", "import os\nos.close(4)\nos.close(3)\ndef f(x):\n    return 6\n"},
      {"empty frame", "fail", "import os\ndef f(x):\n    os.write(4, b'\\0\\0\\0\\0')\n    return 6\n"},
      {"giant frame", "fail", "import os\ndef f(x):\n    os.write(4, b'\\xff\\xff\\xff\\xff')\n    return 6\n"},
      {"64 MB of output, then right", "pass", "def f(x):\n    for _ in range(64):\n        print('y' * 500000)\n    return x + x\n"},
      {"endless output", category::kOutput, "def f(x):\n    import os\n    while True:\n        os.write(1, b'y' * 65536)\n"},
      {"swallows everything", category::kTime, "def f(x):\n    import signal\n    for s in (signal.SIGXCPU, signal.SIGTERM, signal.SIGALRM):\n        signal.signal(s, signal.SIG_IGN)\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass\n"},
  };
}

// In these the answer is right; what matters is that the effect does not reach the outside.
std::vector<Attack> python_resources() {
  return {
      {"fork bomb", "fail", "def f(x):\n    import os\n    while True:\n        try: os.fork()\n        except OSError: pass\n"},
      {"forks 200", "pass", "def f(x):\n    import os, time\n    n = 0\n    for _ in range(200):\n        try:\n            if not os.fork():\n                time.sleep(100)\n            n += 1\n        except OSError: break\n    return x + x if n < 40 else None\n"},
      {"leaves a daemon", "pass", "def f(x):\n    import os, time\n    try:\n        if not os.fork():\n            os.setsid()\n            if os.fork(): os._exit(0)\n            time.sleep(1000)\n    except OSError: pass\n    return x + x\n"},
      {"memory", category::kMemory, "def f(x):\n    a = bytearray(3 << 30)\n    return x + x\n"},
      {"shared memory", "fail", "def f(x):\n    import mmap, os, time\n    for _ in range(6):\n        if not os.fork():\n            m = mmap.mmap(-1, 400 << 20)\n            for i in range(0, 400 << 20, 4096): m[i] = 1\n            time.sleep(100)\n    time.sleep(100)\n"},
      {"recursion", category::kException, "def f(x):\n    return f(x)\n"},
      {"fills the disk", "pass", "def f(x):\n    n = 0\n    try:\n        for i in range(64):\n            with open('/tmp/%d' % i, 'wb') as o:\n                for _ in range(16): n += o.write(b'z' * (1 << 20))\n    except OSError: pass\n    return x + x if n <= 64 << 20 else None\n"},
      {"huge list", category::kMemory, "def f(x):\n    return [0] * (10 ** 9)\n"},
      {"huge power", category::kTime, "def f(x):\n    return 3 ** (10 ** 10)\n"},
      {"endless recursion in C", "fail", "def f(x):\n    import sys\n    sys.setrecursionlimit(10 ** 9)\n    return f(x)\n"},
      {"threads", "fail", "def f(x):\n    import threading\n    def spin():\n        while True: pass\n    while True: threading.Thread(target=spin).start()\n"},
      {"stops itself", category::kTime, "def f(x):\n    import os, signal\n    os.kill(os.getpid(), signal.SIGSTOP)\n    return x + x\n"},
      {"raises its limits", category::kTime, "def f(x):\n    import resource\n    for r in (resource.RLIMIT_CPU, resource.RLIMIT_AS):\n        try: resource.setrlimit(r, (-1, -1))\n        except Exception: pass\n    while True: pass\n"},
      {"colliding hashes", "fail", "import os\nframe = lambda b: len(b).to_bytes(4, 'little') + b\n"
       "def f(x):\n    items = b''.join(b'i%x;' % (i * (2 ** 61 - 1)) for i in range(200000))\n    os.write(4, frame(b'RvS200000:' + items))\n    import time\n    time.sleep(1000)\n"},
      {"millions of sets", "fail", "import os\ndef f(x):\n    n = 20000000\n    os.write(4, (3 * n + 12).to_bytes(4, 'little') + b'Rvl%d:' % n)\n    for _ in range(2000): os.write(4, b'S0:' * (n // 2000))\n    import time\n    time.sleep(1000)\n"},
      {"fills /dev/shm", "pass", "def f(x):\n    n = 0\n    for folder in ('/dev/shm/', '/dev/'):\n        for i in range(8):\n            try:\n                with open(folder + str(i), 'wb') as o: n += o.write(b'z' * (60 << 20))\n            except OSError: pass\n    return x + x if n == 0 else None\n"},
      {"sleeps", category::kTime, "def f(x):\n    import time\n    time.sleep(1000)\n"},
      {"sleeps at load", category::kTime, "import time\ntime.sleep(1000)\n"},
      {"spins", category::kTime, "def f(x):\n    while True: pass\n"},
  };
}

std::vector<Attack> javascript() {
  return {
      {"process.exit at top", "fail", "process.exit(0);"},
      {"process.exit in call", "fail", "function f(x) { process.exit(0); }"},
      {"reallyExit", "fail", "function f(x) { process.reallyExit(0); }"},
      {"exit after a right answer", "fail", "function f(x) { if (x === 3) return 6; process.exit(0); }"},
      {"patched assert", "fail", "const a = require('assert'); a.deepEqual = () => {}; a.deepStrictEqual = () => {};\nfunction f(x) { return 0; }"},
      {"patched JSON", "fail", "JSON.stringify = () => '{}'; JSON.parse = () => [3];\nfunction f(x) { return 0; }"},
      {"toJSON", "fail", "function f(x) { return {toJSON() { return 6; }, valueOf() { return 6; }, toString() { return '6'; }}; }"},
      {"proxy object", "fail", "function f(x) { return new Proxy({}, {get: () => 6, has: () => true, ownKeys: () => []}); }"},
      {"function", category::kWrong, "function f(x) { return f; }"},
      {"prototype", "fail", "function f(x) { return JSON.parse('{\"__proto__\": {\"length\": 6}}'); }"},
      {"throws", category::kException, "function f(x) { throw new Error('6'); }"},
      {"unknown name", category::kName, "function f(x) { return y; }"},
      {"truncated", category::kEmpty, "function f(x) { return x +"},
      {"syntax", category::kSyntax, "function f(x) { return x x; }"},
      {"verdict on the channel", "fail", "function f(x) { const b = Buffer.from('....V0:2:ok0:0:'); b.writeUInt32LE(b.length - 4, 0); for (let i = 0; i < 40; i++) try { require('fs').writeSync(i, b); } catch {} return 0; }"},
      {"reports that it passed", category::kException, "function f(x) { const b = Buffer.from('....Rx2:ok0:0:'); b.writeUInt32LE(b.length - 4, 0); require('fs').writeSync(4, b); for (;;) require('child_process').spawnSync('sleep', ['9']); }"},
      {"prints", "fail", "function f(x) { console.log('ok passed'); return 0; }"},
      {"kills its parent", "pass", "function f(x) { try { process.kill(process.ppid, 9); } catch {} return x + x; }"},
      {"reads secrets", "pass", "function f(x) { try { require('fs').readFileSync('/etc/passwd'); return 0; } catch {} return process.env.TEENY_TEST_SECRET ? 0 : x + x; }"},
      {"stack", category::kException, "function f(x) { return f(x) + 1; }"},
      {"prototypes", "fail", "Object.prototype.kind = 'ok'; Array.prototype.map = () => [6]; Array.from = () => [6]; Number.isFinite = () => true;\nfunction f(x) { return 0; }"},
      {"toJSON of all", "fail", "Object.prototype.toJSON = () => 6; Array.prototype.toJSON = () => 6;\nfunction f(x) { return 0; }"},
      {"promise", category::kWrong, "async function f(x) { return x + x; }"},
      {"endless getters", "fail", "function f(x) { const g = () => ({get a() { return g(); }}); return g(); }"},
      {"abort", "fail", "function f(x) { process.abort(); }"},
      {"deep nesting", "fail", "function f(x) { return " + std::string(40000, '(') + "6" + std::string(40000, ')') + "; }"},
      {"inspector", "pass", "function f(x) { try { require('inspector').open(0, '127.0.0.1'); } catch {} return x + x; }"},
      {"deep reply", "fail", "function f(x) { const b = Buffer.from('....Rv' + '['.repeat(200000) + ']'.repeat(200000)); b.writeUInt32LE(b.length - 4, 0); require('fs').writeSync(4, b); return 0; }"},
      {"right", "pass", "function f(x) { return x + x; }"},
  };
}

std::vector<Attack> javascript_resources() {
  return {
      {"spawns", "fail", "function f(x) { for (;;) try { require('child_process').spawn('/bin/sleep', ['1000']); } catch {} }"},
      {"memory", category::kMemory, "function f(x) { const a = []; for (;;) a.push(new Array(100000).fill(x)); }"},
      {"buffers", category::kMemory, "function f(x) { const a = []; for (;;) a.push(Buffer.alloc(50 << 20, 1)); }"},
      {"endless output", category::kOutput, "function f(x) { for (;;) require('fs').writeSync(1, 'y'.repeat(65536)); }"},
      {"spins", category::kTime, "function f(x) { for (;;); }"},
      {"waits", category::kTime, "function f(x) { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); }"},
      {"slow pattern", category::kTime, "function f(x) { return /^(a+)+$/.test('a'.repeat(60) + 'b'); }"},
      {"threads", "fail", "function f(x) { const {Worker} = require('worker_threads'); for (;;) new Worker('for (;;);', {eval: true}); }"},
      {"millions of values", "fail", "function f(x) { const fs = require('fs'), part = Buffer.from('[\"a\",[]],'.repeat(100000)), n = 60, h = Buffer.from('....Rv[\"a\",['); h.writeUInt32LE(h.length - 4 + n * part.length + 3, 0);\n"
                                     "  const all = b => { for (let at = 0; at < b.length;) at += fs.writeSync(4, b, at); }; all(h); for (let i = 0; i < n; i++) all(part); all(Buffer.from('1]]')); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); }"},
  };
}

Problem problem(bool js) {
  Problem p;
  p.language = js ? "js" : "python";
  p.task_id = "attack";
  p.entry_point = std::string(1, 'f');
  p.test = js ? "const assert = require('node:assert');\nfunction test() {\n  assert.deepEqual(f(3), 6);\n  assert.deepEqual(f('ab'), 'abab');\n}\ntest();\n"
              : "def check(candidate):\n    assert candidate(3) == 6\n    assert candidate('ab') == 'abab'\n    assert candidate([1]) == [1, 1]\n";
  return p;
}

int left_over_processes() {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline");
    std::stringstream text;
    if (file) text << file.rdbuf();
    count += text.str().find("filename: 'candidate.js'") != std::string::npos || text.str().find("'candidate.py', 'exec'") != std::string::npos;
  }
  return count;
}

void attack(const std::vector<Attack>& attacks, bool js, JudgeOptions options) {
  std::vector<Job> jobs;
  for (const Attack& a : attacks) jobs.push_back({problem(js), a.program, false});
  {
    Judge judge(options);
    if (!options.force_tier.empty() && judge.sandbox().tier != options.force_tier) GTEST_SKIP() << judge.sandbox().self_test.dump();
    Context context;
    std::vector<Verdict> verdicts = judge.run(jobs, context);
    for (size_t i = 0; i < attacks.size(); ++i) {
      std::string what = std::string(attacks[i].name) + ": " + verdicts[i].category + ": " + verdicts[i].detail;
      EXPECT_EQ(verdicts[i].passed, attacks[i].expected == "pass") << what;
      EXPECT_TRUE(verdicts[i].ran) << what;
      if (attacks[i].expected != "pass" && attacks[i].expected != "fail") { EXPECT_EQ(verdicts[i].category, attacks[i].expected) << what; }
    }
  }
  for (int i = 0; i < 50 && left_over_processes(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(left_over_processes(), 0);
}

JudgeOptions quick() {
  JudgeOptions options;
  options.timeout_s = 0.6;
  options.memory_bytes = 700ull << 20;
  return options;
}

TEST(JudgeHostile, PythonExits) { attack(python_exits(), false, quick()); }
TEST(JudgeHostile, PythonValues) { attack(python_values(), false, quick()); }
TEST(JudgeHostile, PythonChannels) { attack(python_channels(), false, quick()); }
TEST(JudgeHostileSlow, PythonResources) { attack(python_resources(), false, quick()); }
TEST(JudgeHostile, JavaScript) { attack(javascript(), true, quick()); }
TEST(JudgeHostileSlow, JavaScriptResources) {
  JudgeOptions options = quick();
  options.timeout_s = 2;
  attack(javascript_resources(), true, options);
}

TEST(JudgeHostileSlow, LandlockHoldsToo) {
  JudgeOptions options = quick();
  options.force_tier = "landlock";
  std::vector<Attack> all = python_exits();
  for (auto list : {python_values(), python_channels()}) all.insert(all.end(), list.begin(), list.end());
  for (Attack& a : python_resources()) all.push_back(a);
  attack(all, false, options);
}

// A judge that is killed outright takes its programs with it.
TEST(JudgeHostileSlow, NothingSurvivesAKilledJudge) {
  pid_t child = fork();
  if (child == 0) {
    JudgeOptions options;
    options.threads = 1;
    Judge judge(options);
    Context context;
    judge.run({{problem(false), "import os, time\nif not os.fork():\n    os.setsid()\ntime.sleep(1000)\n", false}}, context);
    _exit(0);
  }
  for (int i = 0; i < 200 && left_over_processes() < 3; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  EXPECT_GT(left_over_processes(), 0);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  for (int i = 0; i < 100 && left_over_processes(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(left_over_processes(), 0);
}

// Things outside that a program could reach: listeners, a file anybody may write, a secret in the environment.
class JudgeOutside : public testing::Test {
 protected:
  void SetUp() override {
    victim_ = testing::TempDir() + "teeny-victim-" + std::to_string(getpid());
    std::ofstream(victim_) << "untouched";
    chmod(victim_.c_str(), 0666);
    setenv("TEENY_TEST_SECRET", "do not tell", 1);
    tcp_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    ASSERT_EQ(bind(tcp_, reinterpret_cast<sockaddr*>(&address), length), 0);
    ASSERT_EQ(listen(tcp_, 8), 0);
    getsockname(tcp_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    abstract_ = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    abstract_name_ = "teeny-test-" + std::to_string(getpid());
    memcpy(name.sun_path + 1, abstract_name_.data(), abstract_name_.size());
    ASSERT_EQ(bind(abstract_, reinterpret_cast<sockaddr*>(&name), socklen_t(offsetof(sockaddr_un, sun_path) + 1 + abstract_name_.size())), 0);
    ASSERT_EQ(listen(abstract_, 8), 0);
  }
  void TearDown() override {
    close(tcp_);
    close(abstract_);
    unlink(victim_.c_str());
    unsetenv("TEENY_TEST_SECRET");
  }
  // Every one returns the right answer when the attack was stopped, and a wrong one when it was not.
  std::vector<Attack> attacks() const {
    auto tries = [](const std::string& body) {
      return "def f(x):\n    import os, sys, ctypes, socket\n    try:\n        " + body + "\n    except OSError:\n        return x + x\n    return None\n";
    };
    std::string teeny = std::to_string(getpid());
    return {
        {"tcp", "pass", tries("socket.create_connection(('127.0.0.1', " + std::to_string(port_) + "), 1)")},
        {"abstract socket", "pass", tries("socket.socket(socket.AF_UNIX).connect('\\0" + abstract_name_ + "')")},
        {"writes a file outside", "pass", tries("open('" + victim_ + "', 'r+').write('gotcha')")},
        {"symlink out", "pass", tries("os.symlink('" + victim_ + "', '/tmp/link'); open('/tmp/link', 'r+').write('gotcha')")},
        {"writes to /usr", "pass", tries("open('/usr/teeny-was-here', 'w').write('x')")},
        {"reads the victim", "pass", tries("open('" + victim_ + "').read()")},
        {"shadow", "pass", tries("open('/etc/shadow').read()")},
        {"passwd", "pass", tries("open('/etc/passwd').read()")},
        {"root's home", "pass", tries("os.listdir('/root')")},
        {"init's environment", "pass", tries("if not open('/proc/1/environ').read(): raise OSError()")},
        {"environment", "pass", "def f(x):\n    import os\n    return x + x if 'TEENY_TEST_SECRET' not in os.environ else None\n"},
        {"teeny's environment", "pass", tries("open('/proc/" + teeny + "/environ').read()")},
        {"kills teeny", "pass", tries("os.kill(" + teeny + ", 9)")},
        {"kills its parent", "pass", "def f(x):\n    import os\n    for p in (os.getppid(), 1, -1):\n        try:\n            if p != -1: os.kill(p, 9)\n        except OSError: pass\n    return x + x\n"},
        {"ptrace", "pass", tries("l = ctypes.CDLL(None, use_errno=True); r = l.ptrace(0x4206, os.getppid(), 0, 0)\n        if r < 0: raise OSError()")},
        {"user namespace", "pass", tries("l = ctypes.CDLL(None); r = l.unshare(0x10000000)\n        if r < 0: raise OSError()")},
        {"bpf", "pass", tries("l = ctypes.CDLL(None); r = l.syscall(321, 0, 0, 0)\n        if r < 0: raise OSError()")},
        {"io_uring", "pass", tries("l = ctypes.CDLL(None); r = l.syscall(425, 8, 0)\n        if r < 0: raise OSError()")},
        {"keyctl", "pass", tries("l = ctypes.CDLL(None); r = l.syscall(250, 0, -3, 0)\n        if r < 0: raise OSError()")},
        {"mount", "pass", tries("l = ctypes.CDLL(None); r = l.mount(b'none', b'/tmp', b'tmpfs', 0, 0)\n        if r < 0: raise OSError()")},
        {"memory file", "pass", tries("os.memfd_create('x')")},
        {"shared mapping", "pass", tries("import mmap; mmap.mmap(-1, 4096)")},
        {"shared mapping of a device", "pass", tries("import mmap; mmap.mmap(os.open('/dev/zero', os.O_RDWR), 4096, prot=mmap.PROT_READ)")},
        {"System V memory", "pass", tries("l = ctypes.CDLL(None); r = l.shmget(0x7eeb, 4096, 0o1666)\n        if r < 0: raise OSError()")},
        {"System V messages", "pass", tries("l = ctypes.CDLL(None); r = l.msgget(0x7eeb, 0o1666)\n        if r < 0: raise OSError()")},
        {"message queue", "pass", tries("l = ctypes.CDLL(None); r = l.syscall(240, b'teeny', 0o102, 0o666, 0)\n        if r < 0: raise OSError()")},
        {"teeny's processors", "pass", tries("os.sched_setaffinity(" + teeny + ", {0})")},
        {"teeny's priority", "pass", tries("os.setpriority(os.PRIO_PROCESS, " + teeny + ", 19)")},
        {"SIGIO for teeny", "pass", tries("import fcntl; fcntl.fcntl(socket.socketpair()[0], fcntl.F_SETOWN, " + teeny + ")")},
        {"teeny's memory", "pass", tries("open('/proc/" + teeny + "/mem', 'rb').read(1)")},
        {"teeny's descriptors", "pass", tries("os.listdir('/proc/" + teeny + "/fd')")},
        {"pidfd of teeny", "pass", tries("os.pidfd_open(" + teeny + ")")},
        {"udp", "pass", tries("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', " + std::to_string(port_) + "))")},
        {"netlink", "pass", tries("socket.socket(16, socket.SOCK_RAW, 0)")},
        {"vsock", "pass", tries("socket.socket(40, socket.SOCK_STREAM).connect((2, 1))")},
        {"hard link out", "pass", tries("os.link('" + victim_ + "', '/tmp/hard'); open('/tmp/hard', 'r+').write('gotcha')")},
        {"kernel settings", "pass", tries("open('/proc/sys/kernel/core_pattern', 'w').write('x')")},
        {"other namespaces", "pass", tries("l = ctypes.CDLL(None); r = l.setns(os.open('/proc/1/ns/net', 0), 0)\n        if r < 0: raise OSError()")},
        {"terminal input", "pass", tries("import fcntl; fcntl.ioctl(0, 0x5412, b'x')")},
        {"performance counters", "pass", tries("l = ctypes.CDLL(None); r = l.syscall(298, ctypes.create_string_buffer(128), 0, -1, -1, 0)\n        if r < 0: raise OSError()")},
        {"userfaultfd", "pass", tries("l = ctypes.CDLL(None); r = l.syscall(323, 1)\n        if r < 0: raise OSError()")},
        {"changes its root", "pass", tries("os.chroot('/tmp')")},
        {"writes /tmp", "pass", "def f(x):\n    try: open('/tmp/teeny-was-here', 'w').write('x')\n    except OSError: pass\n    return x + x\n"},
        {"sees another's /tmp", "pass", tries("open('/tmp/teeny-was-here').read()")},
        {"x32 calls", "pass", tries("l = ctypes.CDLL(None); r = l.syscall(0x40000000 + 39)\n        if r < 0: raise OSError()")},
    };
  }
  void expect_untouched() {
    std::ifstream file(victim_);
    std::string text;
    std::getline(file, text);
    EXPECT_EQ(text, "untouched");
    pollfd fds[2] = {{tcp_, POLLIN, 0}, {abstract_, POLLIN, 0}};
    EXPECT_EQ(poll(fds, 2, 0), 0) << "a program reached a listener outside";
    EXPECT_FALSE(std::filesystem::exists("/usr/teeny-was-here"));
  }
  std::string victim_, abstract_name_;
  int tcp_ = -1, abstract_ = -1, port_ = 0;
};

TEST_F(JudgeOutside, Bubblewrap) {
  JudgeOptions options = quick();
  options.force_tier = "bubblewrap";
  attack(attacks(), false, options);
  expect_untouched();
}

TEST_F(JudgeOutside, Landlock) {
  JudgeOptions options = quick();
  options.force_tier = "landlock";
  attack(attacks(), false, options);
  expect_untouched();
}

}  // namespace
}  // namespace teeny
