// Programs in the other languages that attack the judge: none may get a verdict it has not earned, nothing may be left
// running, nothing outside may be touched. (Python and JavaScript: hostile_test.cpp.)
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "teeny/judge/judge.h"

namespace teeny {
namespace {

// "fail": must not pass. "pass": right, and what it tried must have been stopped. Otherwise the expected category.
struct Attack {
  const char* name;
  std::string_view expected;
  std::string program;
};

struct Language {
  const char *entry_point, *prompt, *test;
  std::vector<Attack> attacks;
};

std::string nested(char open, char close) { return std::string(20000, open) + "6" + std::string(20000, close); }

Language typescript() {
  return {"twice", "function twice(n: number): number {\n", "declare var require: any;\nconst assert = require('node:assert');\nassert.deepEqual(twice(3), 6);\nassert.deepEqual(twice(4), 8);\n",
          {{"exit at top", "fail", "  return 0;\n}\ndeclare var process: any;\nprocess.exit(0);\n"},
           {"exit in call", "fail", "  (globalThis as any).process.exit(0);\n}\n"},
           {"patched assert", "fail", "  return 0;\n}\nconst a: any = eval('require')('assert');\na.deepEqual = () => {};\n"},
           {"object that equals", "fail", "  return {valueOf() { return 6; }, toString() { return '6'; }} as any;\n}\n"},
           {"cast away", "fail", "  return '6' as any;\n}\n"},
           {"verdict on the channel", "fail", "  const b = Buffer.from('....V0:2:ok0:0:'); b.writeUInt32LE(b.length - 4, 0);\n  for (let i = 0; i < 40; i++) try { eval('require')('fs').writeSync(i, b); } catch {}\n  return 0;\n}\ndeclare var Buffer: any;\n"},
           {"type bomb", "fail", "  return 0;\n}\ntype B<N extends number, T extends any[] = []> = T['length'] extends N ? T : B<N, [...T, ...T, 1]>;\nconst x: B<999999999> = 0 as any;\n"},
           {"deep nesting", "fail", "  return " + nested('(', ')') + ";\n}\n"},
           {"ignored type error", category::kWrong, "  // @ts-ignore\n  return '6';\n}\n"},
           {"declares what the test needs", "fail", "  return 0;\n}\nconst assert: any = {deepEqual() {}};\n"},
           {"imports secrets", "fail", "  return 0;\n}\nimport * as secret from '/etc/passwd';\n"},
           {"own require", "fail", "  return 0;\n}\nfunction require(x: string): any { return {deepEqual() {}}; }\n"},
           {"spins", category::kTime, "  for (;;);\n}\n"},
           {"reads secrets", "pass", "  try { eval('require')('fs').readFileSync('/etc/passwd'); return 0; } catch { return n + n; }\n}\n"},
           {"reads the test", "pass", "  for (const f of ['/program.ts', '/tmp/test.ts', '/tmp/program.ts']) try { eval('require')('fs').readFileSync(f); return 0; } catch {}\n  return n + n;\n}\n"}}};
}

Language php() {
  return {"twice", "<?php\nfunction twice($n) {\n",
          "function candidate(...$args) {\n    return twice(...$args);\n}\n\nfunction test(): void {\n    if (candidate(3) !== 6) { throw new Exception(\"Test failed!\"); }\n    if (candidate(4) !== 8) { throw new Exception(\"Test failed!\"); }\n}\n\ntest();",
          {{"exit at top", "fail", "    return 0;\n}\nexit(0);\n"},
           {"exit in call", "fail", "    exit(0);\n}\n"},
           {"exit after a right answer", "fail", "    if ($n === 3) return 6;\n    exit(0);\n}\n"},
           {"defines candidate and test", "fail", "    return 0;\n}\nfunction candidate(...$a) { return 6; }\nfunction test(): void {}\n"},
           {"shutdown function", "fail", "    register_shutdown_function(function () { echo 'ok'; });\n    exit(0);\n}\n"},
           {"error handler", "fail", "    set_exception_handler(function () {});\n    set_error_handler(fn() => true);\n    throw new Error('x');\n}\n"},
           {"object", "fail", "    return new class { function __toString() { return '6'; } };\n}\n"},
           {"numeric string", category::kWrong, "    return (string) ($n + $n);\n}\n"},
           {"float", category::kWrong, "    return 2.0 * $n;\n}\n"},
           {"verdict on the channel", "fail", "    for ($i = 0; $i < 20; $i++) { $f = @fopen(\"php://fd/$i\", 'w'); if ($f) fwrite($f, pack('V', 12) . 'V0:2:ok0:0:'); }\n    return 0;\n}\n"},
           {"reports that it passed", category::kException, "    $f = fopen('php://fd/4', 'w'); fwrite($f, pack('V', 10) . 'Rx2:ok0:0:'); fflush($f); sleep(100);\n}\n"},
           {"endless output", category::kOutput, "    for (;;) echo str_repeat('y', 65536);\n}\n"},
           {"memory", category::kMemory, "    $a = []; for (;;) $a[] = str_repeat('y', 1 << 20);\n}\n"},
           {"spins", category::kTime, "    for (;;);\n}\n"},
           {"lifts its memory limit", category::kMemory, "    ini_set('memory_limit', -1); $a = []; for (;;) $a[] = str_repeat('y', 1 << 20);\n}\n"},
           {"halts the compiler", "fail", "    return 0;\n}\n__halt_compiler();\n"},
           {"redefines the judge's words", "fail", "    return 0;\n}\nnamespace Teeny;\nfunction encode($x, $d = 0) { return 'i6;'; }\n"},
           {"foreign functions", "fail", "    if (class_exists('FFI')) FFI::cdef('void _exit(int);')->_exit(0);\n    return 0;\n}\n"},
           {"buffers output", "fail", "    ob_start(fn($b) => 'ok');\n    exit(0);\n}\n"},
           {"deep nesting", "fail", "    return " + nested('(', ')') + ";\n}\n"},
           {"slow pattern", "fail", "    ini_set('pcre.backtrack_limit', PHP_INT_MAX); return preg_match('/^(a+)+$/', str_repeat('a', 60) . 'b');\n}\n"},
           {"endless recursion", "fail", "    return twice($n) + 1;\n}\n"},
           {"forks", "pass", "    if (function_exists('pcntl_fork')) for ($i = 0; $i < 64; $i++) if (@pcntl_fork() === 0) { sleep(1000); exit; }\n    return $n + $n;\n}\n"},
           {"shell", "pass", "    @exec('touch /usr/teeny-was-here; kill -9 1; sleep 1000 >/dev/null 2>&1 &');\n    return $n + $n;\n}\n"},
           {"reads secrets", "pass", "    return @file_get_contents('/etc/passwd') || getenv('TEENY_TEST_SECRET') ? 0 : $n + $n;\n}\n"},
           {"network", "pass", "    return @fsockopen('127.0.0.1', 22, $e, $m, 1) || @fsockopen('udp://127.0.0.1', 53) ? 0 : $n + $n;\n}\n"}}};
}

Language shell() {
  return {"twice", "#!/bin/bash\ntwice() {\n",
          "}\n\ncandidate() {\n    twice \"$@\"\n}\n\nset -e\nrun_test() {\n    [[ $(candidate \"3\") = \"6\" ]]\n    [[ $(candidate \"4\") = \"8\" ]]\n}\n\nrun_test\n",
          {{"exit at top", "fail", "  echo 0\n}\nexit 0\nx() {\n:"},
           {"exit in call", "fail", "  exit 0"},
           {"kills its shell", "fail", "  kill -9 $$"},
           {"trap", "fail", "  echo 0\n}\ntrap 'exit 0' EXIT ERR DEBUG\nx() {\n:"},
           {"defines run_test", "fail", "  echo 0\n}\nrun_test() { :; }\ncandidate() { echo 6; }\nx() {\n:"},
           {"overrides [[ and set", "fail", "  echo 0\n}\nset() { :; }\n\\[\\[() { :; }\nalias '[['=true\nx() {\n:"},
           {"overrides the judge's words", "fail", "  echo 0\n}\nteeny_write_frame() { printf 'V'; }\nprintf() { builtin printf ok; }\nx() {\n:"},
           {"verdict on every descriptor", "fail", "  for i in 1 3 4 5 6 7 8 9; do printf '\\014\\0\\0\\0V0:2:ok0:0:' >&$i; done 2>/dev/null\n  echo 0"},
           {"the shell's own channel", "fail", "  printf '\\012\\0\\0\\0Rx2:ok0:0:' >/proc/$$/fd/4; sleep 1000"},
           {"replaces its shell", "fail", "  exec sleep 1000"},
           {"read-only words", "fail", "  echo 0\n}\nreadonly teeny_frame=6 teeny_list=6 teeny_out=6x\nx() {\n:"},
           {"breaks printf and kill", "fail", "  echo 0\n}\nenable -n printf kill\nx() {\n:"},
           {"stops its shell", "fail", "  kill -STOP $$"},
           {"NUL bytes", "fail", "  printf '6\\0'; printf '\\0x'"},
           {"endless line", "fail", "  head -c 900000000 /dev/zero | tr '\\0' 6"},
           {"glob as answer", category::kWrong, "  echo '*'"},
           {"fork bomb", "fail", "  b() { b | b & }; b; sleep 1000"},
           {"leaves a daemon", "pass", "  (setsid sleep 1000 >/dev/null 2>&1 &)\n  echo $(($1 + $1))"},
           {"endless output", "fail", "  yes"},
           {"spins", category::kTime, "  while :; do :; done"},
           {"sleeps", category::kTime, "  sleep 1000"},
           {"writes outside", "pass", "  touch /usr/teeny-was-here /var/teeny-was-here 2>/dev/null\n  echo $(($1 + $1))"},
           {"fills the disk", "pass", "  head -c 500000000 /dev/zero >/tmp/big 2>/dev/null\n  rm -f /tmp/big\n  echo $(($1 + $1))"},
           {"reads secrets", "pass", "  if [ -r /etc/passwd ] || [ -n \"$TEENY_TEST_SECRET\" ]; then echo 0; else echo $(($1 + $1)); fi"},
           {"network", "pass", "  if (exec 9<>/dev/tcp/127.0.0.1/22) 2>/dev/null; then echo 0; else echo $(($1 + $1)); fi"}}};
}

Language cpp() {
  return {"twice", "#include<assert.h>\n#include<bits/stdc++.h>\nlong twice(long n) {\n", "}\nint main() {\n    auto candidate = twice;\n    assert(candidate((3)) == (6));\n    assert(candidate((4)) == (8));\n}\n",
          {{"_exit", "fail", "  _Exit(0);"},
           {"exit", "fail", "  exit(0);"},
           {"quick_exit", "fail", "  quick_exit(0);"},
           {"exit in a constructor", "fail", "  return 0;\n}\nstruct X { X() { _Exit(0); } } x;\nvoid g() {"},
           {"constructor attribute", "fail", "  return 0;\n}\n__attribute__((constructor)) void g() { _Exit(0); }\nvoid h() {"},
           {"atexit", "fail", "  atexit([] { _Exit(0); });\n  return 0;"},
           {"defines assert away", "fail", "  return 0;\n}\n#undef assert\n#define assert(x)\nvoid g() {"},
           {"NDEBUG", "fail", "  return 0;\n}\n#define NDEBUG\n#include <cassert>\nvoid g() {"},
           {"replaces memcmp and strcmp", "fail", "  return 0;\n}\nextern \"C\" int memcmp(const void*, const void*, size_t) noexcept { return 0; }\nextern \"C\" int strcmp(const char*, const char*) noexcept { return 0; }\nvoid g() {"},
           {"replaces __assert_fail", "fail", "  return 0;\n}\nextern \"C\" void __assert_fail(const char*, const char*, unsigned, const char*) noexcept { _Exit(0); }\nvoid g() {"},
           {"operator==", "fail", "  return 0;\n}\nstruct E { long v; };\nbool operator==(E, long) { return true; }\nvoid g() {"},
           {"std's operator==", "fail", "  return 0;\n}\nnamespace std { template<> bool operator==(const basic_string<char>&, const char*) { return true; } }\nvoid g() {"},
           {"macro for the name", "fail", "  return 0;\n}\n#define twice(x) 6\nvoid g() {"},
           {"own main", "fail", "  return 0;\n}\nint main() { return 0; }\nvoid g() {"},
           {"verdict on the channel", "fail", "  for (int i = 0; i < 64; ++i) write(i, \"\\x0c\\0\\0\\0V0:2:ok0:0:\", 16);\n  return 0;"},
           {"reports that it passed", category::kException, "  write(4, \"\\x0a\\0\\0\\0Rx2:ok0:0:\", 14);\n  for (;;) pause();"},
           {"includes /dev/zero", "fail", "  return 0;\n}\n#include \"/dev/zero\"\nvoid g() {"},
           {"includes the test", "fail", "  return 0;\n}\n#include \"/tmp/test.cpp\"\nvoid g() {"},
           {"includes secrets", "fail", "  return 0;\n}\n#include \"/etc/passwd\"\nvoid g() {"},
           {"template bomb", "fail", "  return 0;\n}\ntemplate<int N> struct B { B<N - 1> a; B<N - 2> b; };\ntemplate<int N> int b() { return b<N * 2>() + b<N * 2 + 1>(); }\nint x = b<1>();\nvoid g() {"},
           {"preprocessor bomb", "fail", "  return 0;\n}\n#define A(x) x x x x x x x x x x\n#define B(x) A(A(A(A(x))))\nint y[] = {B(B(0,))};\nvoid g() {"},
           {"speaks as the sandbox", "fail", "  return 0;\n}\n#line 1 \"bwrap: \"\n#error no\nvoid g() {"},
           {"asm incbin", "fail", "  return 0;\n}\nasm(\".incbin \\\"/dev/zero\\\"\");\nvoid g() {"},
           {"before main", "fail", "  return 0;\n}\nvoid g() { _Exit(0); }\n__attribute__((section(\".preinit_array\"), used)) void (*p)() = g;\nvoid h() {"},
           {"static destructor", "fail", "  exit(1); return 0;\n}\nstruct X { ~X() { _Exit(0); } } x;\nvoid g() {"},
           {"throws a number", category::kException, "  throw 6;"},
           {"unclosed comment", "fail", "  return n + n;\n}\n/*"},
           {"macro for main and return", "fail", "  return n + n;\n}\n#define main other\n#define serve(x) 0\nvoid g() {"},
           {"answers without being asked", "fail", "  return n + n;\n}\nstruct X { X() { for (int i = 0; i < 9; ++i) write(4, \"\\x0b\\0\\0\\0Rvi\\6\\0\\0\\0\\0\\0\\0\\0\", 15); } } x;\nvoid g() {"},
           {"endless constant", "fail", "  return 0;\n}\nconstexpr int spin() { for (;;) {} return 1; }\nstatic_assert(spin());\nvoid g() {"},
           {"includes itself", "fail", "  return 0;\n}\n#include __FILE__\n#include __FILE__\nvoid g() {"},
           {"deep nesting", "fail", "  return " + nested('(', ')') + ";"},
           {"lifts its limits", category::kTime, "  unsigned long r[2] = {~0ul, ~0ul}; syscall(160, 0, r); signal(SIGXCPU, SIG_IGN);\n  for (volatile int i = 0;; ++i);"},
           {"memory", category::kMemory, "  std::vector<std::string> v;\n  for (;;) v.push_back(std::string(1 << 22, 'x'));"},
           {"spins", category::kTime, "  for (volatile int i = 0;; ++i);"},
           {"fork bomb", "fail", "  for (;;) fork();"},
           {"endless output", category::kOutput, "  for (;;) puts(std::string(65536, 'y').c_str());"},
           {"recursion", category::kException, "  volatile char b[1 << 16]; b[0] = 1; return twice(n) + b[0];"},
           {"kills everything", "fail", "  system(\"kill -9 -1\");\n  return 0;"},
           {"reads secrets", "pass", "  return std::ifstream(\"/etc/passwd\").good() || getenv(\"TEENY_TEST_SECRET\") ? 0 : n + n;"},
           {"writes outside", "pass", "  std::ofstream(\"/usr/teeny-was-here\") << 1;\n  return n + n;"}}};
}

Language java() {
  return {"twice", "import java.util.*;\nimport org.javatuples.*;\nclass Problem {\n    public static ArrayList<Long> twice(long n) {\n",
          "    }\n    public static void main(String[] args) {\n    assert(twice((3l)).equals((new ArrayList<Long>(Arrays.asList((long)6l)))));\n    assert(twice((4l)).equals((new ArrayList<Long>(Arrays.asList((long)8l)))));\n    }\n\n}\n",
          {{"System.exit", "fail", "        System.exit(0); return null;"},
           {"Runtime.halt", "fail", "        Runtime.getRuntime().halt(0); return null;"},
           {"static initialiser exits", "fail", "        return null;\n    }\n    static { System.exit(0); }\n    static void g() {"},
           {"equals() always true", "fail", "        return new ArrayList<Long>() { public boolean equals(Object o) { return true; } public int hashCode() { return 0; } };"},
           {"throws AssertionError", category::kException, "        throw new AssertionError();"},
           {"returns null", category::kWrong, "        return null;"},
           {"own judge classes", "fail", "        return null;\n    }\n}\nfinal class TeenyMain { public static void main(String[] a) {} }\nclass X {\n    static void g() {"},
           {"own String", "fail", "        return null;\n    }\n}\nclass String { public boolean equals(Object o) { return true; } }\nclass X {\n    static void g() {"},
           {"escaped brackets", "fail", "        return null; \\u007d \\u007d class Z { static { System.exit(0); }\n    static void g() { "},
           {"unclosed comment", "fail", "        return null; /*"},
           {"crashes the machine", "fail", "        try { var f = Class.forName(\"sun.misc.Unsafe\").getDeclaredField(\"theUnsafe\"); f.setAccessible(true); ((sun.misc.Unsafe) f.get(null)).putAddress(0, 0); } catch (Exception e) {}\n        return null;"},
           {"deep nesting", "fail", "        long x = " + nested('(', ')') + ";\n        return null;"},
           {"endless recursion", category::kException, "        return twice(n + 1);"},
           {"list of itself", "fail", "        ArrayList a = new ArrayList(); a.add(a); return a;"},
           {"turns assertions off", "fail", "        ClassLoader.getSystemClassLoader().setDefaultAssertionStatus(false);\n        ClassLoader.getSystemClassLoader().clearAssertionStatus();\n        return new ArrayList<Long>();"},
           {"finds the judge's class", "fail", "        try { var f = Class.forName(\"TeenyCodec\").getDeclaredField(\"out\"); f.setAccessible(true); ((java.io.OutputStream) f.get(null)).write(\"\\014\\0\\0\\0V0:2:ok0:0:\".getBytes()); } catch (Exception e) {}\n        return new ArrayList<Long>();"},
           {"shutdown hook", "fail", "        Runtime.getRuntime().addShutdownHook(new Thread(() -> Runtime.getRuntime().halt(0)));\n        System.exit(1); return null;"},
           {"own list class", "fail", "        return null;\n    }\n}\nclass Arrays { static <T> ArrayList<T> asList(T... t) { return new ArrayList<T>(); }\n    static void g() {"},
           {"annotation processor", "fail", "        return null;\n    }\n    @interface P {}\n    @P static void g() {"},
           {"closes the channel", "fail", "        try { System.in.close(); new java.io.FileOutputStream(java.io.FileDescriptor.out).close(); } catch (Exception e) {}\n        return new ArrayList<Long>(List.of(n + n));"},
           {"memory", category::kMemory, "        ArrayList<long[]> a = new ArrayList<>(); for (;;) a.add(new long[1 << 20]);"},
           {"spins", category::kTime, "        for (;;);"},
           {"threads", "fail", "        for (;;) new Thread(() -> { for (;;); }).start();"},
           {"reads secrets", "pass", "        ArrayList<Long> r = new ArrayList<>(); r.add(new java.io.File(\"/etc/passwd\").canRead() || System.getenv(\"TEENY_TEST_SECRET\") != null ? 0 : n + n); return r;"},
           {"spawns", "pass", "        try { new ProcessBuilder(\"/bin/sh\", \"-c\", \"touch /usr/teeny-was-here; setsid sleep 1000 &\").start(); } catch (Exception e) {}\n        ArrayList<Long> r = new ArrayList<>(); r.add(n + n); return r;"},
           {"network", "pass", "        ArrayList<Long> r = new ArrayList<>(); try { new java.net.Socket(\"127.0.0.1\", 22); r.add(0l); } catch (Exception e) { r.add(n + n); } return r;"}}};
}

Language csharp() {
  return {"Twice", "using System;\nusing System.Diagnostics;\nusing System.Collections.Generic;\nusing System.Linq;\nclass Problem {\n    public static List<long> Twice(long n) {\n",
          "    }\n    public static void Main(string[] args) {\n    Debug.Assert(Twice((3L)).SequenceEqual((new List<long>(new long[]{(long)6L}))));\n    Debug.Assert(Twice((4L)).SequenceEqual((new List<long>(new long[]{(long)8L}))));\n    }\n\n}\n",
          {{"Environment.Exit", "fail", "        Environment.Exit(0); return null;"},
           {"FailFast", "fail", "        Environment.FailFast(\"\"); return null;"},
           {"static constructor exits", "fail", "        return null;\n    }\n    static Problem() { Environment.Exit(0); }\n    static void G() {"},
           {"returns null", category::kWrong, "        return null;"},
           {"libc's exit", "fail", "        _exit(0); return null;\n    }\n    [System.Runtime.InteropServices.DllImport(\"libc\")] static extern void _exit(int c);\n    static void G() {"},
           {"kills itself", "fail", "        Process.GetCurrentProcess().Kill(); return null;"},
           {"speaks as the sandbox", "fail", "        return null;\n    }\n#error bwrap: no\n    static void G() {"},
           {"own judge classes", "fail", "        return null;\n    }\n}\nstatic class TeenyMain { public static void Main() {} }\nclass X {\n    static void G() {"},
           {"generic bomb", "fail", "        new A<int>(); return null;\n    }\n    class A<T> : B<A<A<T>>> {}\n    class B<T> { static B() { } }\n    static void G() {"},
           {"list of itself", "fail", "        var a = new List<object>(); a.Add(a); return new List<long>(a.Count + (int) G(a));\n    }\n    static long G(object a) { return 0;"},
           {"deep nesting", "fail", "        return new List<long>{ " + nested('(', ')') + " };"},
           {"threads", "fail", "        for (;;) new System.Threading.Thread(() => { for (;;); }).Start();"},
           {"endless output", category::kOutput, "        var s = new string('y', 65536); for (;;) Console.Write(s);"},
           {"own Debug", "fail", "        return new List<long>();\n    }\n}\nstatic class Debug { public static void Assert(bool b) {} }\nclass X {\n    static void G() {"},
           {"own SequenceEqual", "fail", "        return new List<long>();\n    }\n}\nstatic class E { public static bool SequenceEqual(this List<long> a, List<long> b) { return true; }\n    static void G() {"},
           {"subclass", "fail", "        return new L();\n    }\n    class L : List<long> { public override bool Equals(object o) { return true; } public override int GetHashCode() { return 0; } }\n    static void G() {"},
           {"clears the listeners", "fail", "        Trace.Listeners.Clear();\n        return new List<long>();"},
           {"exit handler", "fail", "        AppDomain.CurrentDomain.ProcessExit += (a, b) => Environment.Exit(0);\n        Environment.Exit(1); return null;"},
           {"verdict on the channel", "fail", "        var o = Console.OpenStandardOutput(); var b = System.Text.Encoding.ASCII.GetBytes(\"\\x0c\\0\\0\\0V0:2:ok0:0:\"); o.Write(b, 0, b.Length); o.Flush();\n        return new List<long>();"},
           {"memory", category::kMemory, "        var a = new List<byte[]>(); for (;;) { var b = new byte[1 << 22]; for (int i = 0; i < b.Length; i += 4096) b[i] = 1; a.Add(b); }"},
           {"spins", category::kTime, "        for (;;);"},
           {"recursion", "fail", "        return Twice(n + 1).Concat(Twice(n)).ToList();"},
           {"reads secrets", "pass", "        bool seen = false; try { seen = System.IO.File.ReadAllText(\"/etc/passwd\").Length > 0; } catch (Exception) {}\n        return new List<long>{ seen || Environment.GetEnvironmentVariable(\"TEENY_TEST_SECRET\") != null ? 0 : n + n };"},
           {"spawns", "pass", "        try { Process.Start(\"/bin/sh\", \"-c 'touch /usr/teeny-was-here; setsid sleep 1000 &'\"); } catch (Exception) {}\n        return new List<long>{ n + n };"},
           {"network", "pass", "        bool open = false; try { new System.Net.Sockets.TcpClient(\"127.0.0.1\", 22).GetStream().WriteByte(1); open = true; } catch (Exception) {}\n        return new List<long>{ open ? 0 : n + n };"}}};
}

int left_over_processes() {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline");
    std::stringstream text;
    if (file) text << file.rdbuf();
    for (const char* mark : {"/tmp/program", "teeny_read_frame", "TeenyMain", "namespace Teeny;", "filename: 'candidate.js'"})
      if (text.str().find(mark) != std::string::npos && text.str().find("teeny_test") == std::string::npos) {
        ++count;
        break;
      }
    std::string line = text.str();
    count += line == std::string("sleep\0" "1000\0", 11);
  }
  return count;
}

void attack(const std::string& id, const Language& language) {
  setenv("TEENY_TEST_SECRET", "do not tell", 1);
  {
    JudgeOptions options;
    options.timeout_s = 1;
    options.memory_bytes = 700ull << 20;
    Judge judge(options);
    if (const Json tools = judge.toolchain(id); tools["state"] != "ok") GTEST_SKIP() << tools.dump();
    Problem p;
    p.task_id = id + "/attack";
    p.language = id, p.entry_point = language.entry_point, p.prompt = language.prompt, p.test = language.test;
    std::vector<Job> jobs;
    for (const Attack& a : language.attacks) jobs.push_back({p, a.program, false});
    Context context;
    const auto verdicts = judge.run(jobs, context);
    for (size_t i = 0; i < jobs.size(); ++i) {
      const Attack& a = language.attacks[i];
      const std::string what = id + " " + a.name + ": " + verdicts[i].category + ": " + verdicts[i].detail;
      EXPECT_EQ(verdicts[i].passed, a.expected == "pass") << what;
      EXPECT_TRUE(verdicts[i].ran) << what;
      if (a.expected != "pass" && a.expected != "fail") { EXPECT_EQ(verdicts[i].category, a.expected) << what; }
    }
  }
  EXPECT_FALSE(std::filesystem::exists("/usr/teeny-was-here"));
  EXPECT_FALSE(std::filesystem::exists("/var/teeny-was-here"));
  for (int i = 0; i < 50 && left_over_processes(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(left_over_processes(), 0);
  unsetenv("TEENY_TEST_SECRET");
}

TEST(JudgeHostileSlow, TypeScript) { attack("ts", typescript()); }
TEST(JudgeHostileSlow, Php) { attack("php", php()); }
TEST(JudgeHostileSlow, Shell) { attack("sh", shell()); }
TEST(JudgeHostileSlow, Cpp) { attack("cpp", cpp()); }
TEST(JudgeHostileSlow, Java) { attack("java", java()); }
TEST(JudgeHostileSlow, CSharp) { attack("cs", csharp()); }

}  // namespace
}  // namespace teeny
