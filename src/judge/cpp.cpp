// C++: program and test become two executables. The test's one has, in the program's place, a function of the same
// signature that sends its arguments and gets the result, so no operator, macro or symbol of the program is near a
// comparison. Values cross as tagged bytes, decoded into the types of the prompt's signature.
#include <unistd.h>

#include <regex>

#include "judge/signature.h"
#include "teeny/core/error.h"

namespace teeny::judge {
namespace {

// In both executables, before anything of the problem set. Numbers are 8 bytes in the machine's order.
constexpr const char* kCodec = R"cpp(#include <bits/stdc++.h>
#include <unistd.h>
namespace teeny_ {
struct Bad {};
struct In {
  const char *at, *end;
  const char* take(size_t n) { if (n > size_t(end - at)) throw Bad(); at += n; return at - n; }
  char tag() { return *take(1); }
  void expect(char t) { if (tag() != t) throw Bad(); }
  template<class T> T raw() { T x; std::memcpy(&x, take(sizeof x), sizeof x); return x; }
  size_t count() { size_t n = raw<uint64_t>(); if (n > size_t(end - at)) throw Bad(); return n; }
};
using Out = std::string;
template<class T> void raw(Out& o, T x) { o.append(reinterpret_cast<const char*>(&x), sizeof x); }
inline void head(Out& o, char tag, size_t n) { o += tag; raw(o, uint64_t(n)); }
template<class T, class = void> struct Codec;
template<class T> void put(Out& o, const T& x) { Codec<std::decay_t<T>>::put(o, x); }
template<class T> T get(In& i) { return Codec<T>::get(i); }
template<class T> struct Codec<T, std::enable_if_t<std::is_arithmetic<T>::value>> {
  static void put(Out& o, T x) {
    if (std::is_floating_point<T>::value) o += 'd', raw(o, double(x));
    else o += 'i', raw(o, int64_t(x));
  }
  static T get(In& i) {
    char t = i.tag();
    if (t == 'i') return T(i.raw<int64_t>());
    if (t == 'd' && std::is_floating_point<T>::value) return T(i.raw<double>());
    throw Bad();
  }
};
template<> struct Codec<std::string> {
  static void put(Out& o, const std::string& x) { head(o, 's', x.size()); o += x; }
  static std::string get(In& i) { i.expect('s'); size_t n = i.count(); return std::string(i.take(n), n); }
};
template<> struct Codec<const char*> {  // lives as long as the process: few and small
  static void put(Out& o, const char* x) { Codec<std::string>::put(o, x); }
  static const char* get(In& i) { return (new std::string(Codec<std::string>::get(i)))->c_str(); }
};
template<class V, class T> struct List {
  static void put(Out& o, const V& x) { head(o, 'v', x.size()); for (auto&& e : x) Codec<T>::put(o, e); }
  static V get(In& i) { V x; i.expect('v'); for (size_t n = i.count(); n; --n) x.insert(x.end(), Codec<T>::get(i)); return x; }
};
template<class T> struct Codec<std::vector<T>> : List<std::vector<T>, T> {};
template<class T> struct Codec<std::list<T>> : List<std::list<T>, T> {};
template<class T> struct Codec<std::deque<T>> : List<std::deque<T>, T> {};
template<class T> struct Codec<std::set<T>> : List<std::set<T>, T> {};
template<class M, class K, class T> struct Dictionary {
  static void put(Out& o, const M& x) { head(o, 'm', x.size()); for (auto& e : x) Codec<K>::put(o, e.first), Codec<T>::put(o, e.second); }
  static M get(In& i) { M x; i.expect('m'); for (size_t n = i.count(); n; --n) { K k = Codec<K>::get(i); x.emplace(std::move(k), Codec<T>::get(i)); } return x; }
};
template<class K, class T> struct Codec<std::map<K, T>> : Dictionary<std::map<K, T>, K, T> {};
template<class K, class T> struct Codec<std::unordered_map<K, T>> : Dictionary<std::unordered_map<K, T>, K, T> {};
template<class... T> struct Codec<std::tuple<T...>> {
  static void put(Out& o, const std::tuple<T...>& x) { head(o, 't', sizeof...(T)); std::apply([&](auto&... e) { (teeny_::put(o, e), ...); }, x); }
  static std::tuple<T...> get(In& i) { i.expect('t'); if (i.count() != sizeof...(T)) throw Bad(); return std::tuple<T...>{Codec<T>::get(i)...}; }
};
template<class A, class B> struct Codec<std::pair<A, B>> {
  static void put(Out& o, const std::pair<A, B>& x) { head(o, 't', 2); teeny_::put(o, x.first); teeny_::put(o, x.second); }
  static std::pair<A, B> get(In& i) { i.expect('t'); if (i.count() != 2) throw Bad(); A a = Codec<A>::get(i); return {a, Codec<B>::get(i)}; }
};
template<class T> struct Codec<std::optional<T>> {
  static void put(Out& o, const std::optional<T>& x) { o += x ? 'y' : 'n'; if (x) Codec<T>::put(o, *x); }
  static std::optional<T> get(In& i) { char t = i.tag(); if (t == 'n') return std::nullopt; if (t != 'y') throw Bad(); return Codec<T>::get(i); }
};
template<class... T> struct AnyOf {
  template<class U> static bool put_one(Out& o, const std::any& x, char n) { return x.type() == typeid(U) && (o += n, Codec<U>::put(o, std::any_cast<const U&>(x)), true); }
  static void put(Out& o, const std::any& x) { char n = 'A'; o += 'a'; if (!(put_one<T>(o, x, n++) || ...)) o += '?'; }
  template<class U> static bool get_one(In& i, std::any& x, bool mine) { if (mine) x = Codec<U>::get(i); return mine; }
  static std::any get(In& i) { i.expect('a'); char t = i.tag(), n = 'A'; std::any x; if (!(get_one<T>(i, x, n++ == t) || ...) && t != '?') throw Bad(); return x; }
};
template<> struct Codec<std::any> : AnyOf<int, long, float, double, bool, char, const char*, std::string, std::vector<long>, std::vector<int>, std::map<long, long>> {};
inline void read_all(char* to, size_t n) { while (n) { ssize_t got = ::read(3, to, n); if (got <= 0) ::_exit(0); to += got; n -= size_t(got); } }
inline std::string read_frame() { uint32_t n = 0; read_all(reinterpret_cast<char*>(&n), 4); std::string f(n, '\0'); read_all(&f[0], n); return f; }
inline void write_frame(const std::string& payload) {
  std::string f; raw(f, uint32_t(payload.size())); f += payload;
  for (size_t at = 0; at < f.size();) { ssize_t n = ::write(4, f.data() + at, f.size() - at); if (n <= 0) ::_exit(0); at += size_t(n); }
}
inline std::string netstring(const std::string& s) { return std::to_string(s.size()) + ":" + s; }
inline std::vector<std::string> fields(const std::string& f, size_t at) {
  std::vector<std::string> out;
  while (at < f.size()) {
    size_t colon = f.find(':', at), n = std::strtoul(f.c_str() + at, nullptr, 10);
    if (colon == std::string::npos || n > f.size() - colon - 1) break;
    out.push_back(f.substr(colon + 1, n)); at = colon + 1 + n;
  }
  return out;
}
}
#include <assert.h>
)cpp";

constexpr const char* kWorker = R"cpp(
namespace teeny_ {
template<class R, class... A> std::string answer(R (*f)(A...), In in) {
  in.expect('t');
  if (in.count() != sizeof...(A)) throw Bad();
  std::tuple<std::decay_t<A>...> arguments{Codec<std::decay_t<A>>::get(in)...};
  std::string out = "Rv";
  put<std::decay_t<R>>(out, std::apply([&](auto&... a) -> R { return f(static_cast<A>(a)...); }, arguments));
  return out;
}
template<class F> int serve(F f) {
  write_frame("L2:ok0:0:");
  for (;;) {
    std::string call = read_frame(), kind = "exception", name, what;
    try { write_frame(answer(f, In{call.data() + 1, call.data() + call.size()})); continue; }
    catch (const std::bad_alloc& e) { kind = "memory"; name = "std::bad_alloc"; what = e.what(); }
    catch (const std::exception& e) { name = typeid(e).name(); what = e.what(); }
    catch (const Bad&) { kind = "type"; name = "arguments"; what = "do not fit the function"; }
    catch (...) { name = "exception"; }
    write_frame("Rx" + netstring(kind) + netstring(name) + netstring(what));
  }
}
}
)cpp";

constexpr const char* kDriver = R"cpp(
namespace teeny_ {
struct Raised { std::string kind, name, what; };
struct Failed { const char* text; };
struct Malformed {};
inline bool answered = false;  // from then on a test that fails fails of what it was given
template<class R, class... A, class... B> R call(R (*)(A...), const B&... b) {
  std::string out = "C";
  head(out, 't', sizeof...(A));
  (Codec<std::decay_t<A>>::put(out, b), ...);
  write_frame(out);
  std::string reply = read_frame();
  answered = true;
  if (reply.size() > 2 && reply[1] == 'v') {
    try { In in{reply.data() + 2, reply.data() + reply.size()}; R r = Codec<std::decay_t<R>>::get(in); if (in.at == in.end) return r; } catch (const Bad&) {}
    throw Malformed();
  }
  auto f = fields(reply, 2);
  f.resize(3);
  throw Raised{f[0], f[1], f[2]};
}
inline long checks = 0;
inline void check(bool ok, const char* text) { ++checks; if (!ok) throw Failed{text}; }
inline void judge(void (*test)()) {
  auto f = fields(read_frame(), 1);
  std::string kind = "ok", what;
  try { test(); if (!checks) kind = "unsupported", what = "the test asserts nothing"; }
  catch (const Failed& e) { kind = "wrong"; what = e.text; }
  catch (const Malformed&) { kind = "wrong"; what = "the program's result is not of the type asked for"; }
  catch (const Raised& e) { kind = e.kind; what = e.name + ": " + e.what; }
  catch (const std::exception& e) { kind = answered ? "wrong" : "unsupported"; what = std::string("the test failed by itself: ") + e.what(); }
  write_frame("V" + netstring(f.at(0)) + netstring(kind) + netstring("") + netstring(what.substr(0, 2000)));
}
}
)cpp";

// Searched breadth first: the usual way recurses as deep as a problem's text is long.
std::regex pattern(const char* text) {
  auto flags = std::regex::ECMAScript;
#ifdef __GLIBCXX__
  flags |= std::regex_constants::__polynomial;
#endif
  return std::regex(text, flags);
}

// MultiPL-E's unions have no tag: made structs that remember which member was given, and compare by that.
std::string tag_unions(std::string text) {
  static const std::regex open = pattern(R"(union (Union_\w+)\s*\{)"), constructor = pattern(R"((Union_\w+)\(([^()]*) _f(\d+)\) : f\d+\(_f\d+\))"), comparison = pattern(R"(return f(\d+) == f ;)");
  text = std::regex_replace(text, open, "struct $1 { int teeny_tag_ = -1;");
  text = std::regex_replace(text, constructor, "$1($2 _f$3) : teeny_tag_($3), f$3(_f$3)");
  return std::regex_replace(text, comparison, "return teeny_tag_ == $1 && f$1 == f ;");
}

// A codec for each of them: the tag, and the member that it names.
std::string union_codecs(const std::string& prompt) {
  static const std::regex open = pattern(R"(union (Union_\w+)\s*\{)"), member = pattern(R"((Union_\w+)\([^()]* _f(\d+)\) : f\d+\(_f\d+\))");
  std::string out;
  for (std::sregex_iterator it(prompt.begin(), prompt.end(), open), end; it != end; ++it) {
    const std::string name = (*it)[1];
    std::string puts, gets;
    for (std::sregex_iterator m(prompt.begin(), prompt.end(), member); m != end; ++m) {
      if ((*m)[1] != name) continue;
      const std::string n = (*m)[2];
      puts += fmt::format("if (x.teeny_tag_ == {0}) teeny_::put(o, x.f{0});\n", n);
      gets += fmt::format("if (t == {0}) return {1}(Codec<decltype({1}::f{0})>::get(i));\n", n, name);
    }
    out += fmt::format("template<> struct Codec<{0}> {{\nstatic void put(Out& o, const {0}& x) {{ o += 'u'; raw(o, int32_t(x.teeny_tag_)); {1} }}\n"
                       "static {0} get(In& i) {{ i.expect('u'); int32_t t = i.raw<int32_t>(); {2} throw Bad(); }}\n}};\n", name, puts, gets);
  }
  return out.empty() ? "" : "namespace teeny_ {\n" + out + "}\n";
}

// HumanEval's task 162 (MD5) is solved with libcrypto, whose header no program can include from inside a function.
std::string openssl(const Problem& problem, const std::string& program) {
  if (problem.prompt.find("md5") == std::string::npos || (program.find("MD5") == std::string::npos && program.find("openssl/") == std::string::npos)) return "";
  if (access("/usr/include/openssl/md5.h", R_OK)) throw input_error("judge", "libcrypto", "the program uses it, and openssl/md5.h is not here; apt-get install libssl-dev");
  return "#include <openssl/md5.h>\n#include <openssl/evp.h>\n";
}

// Only the prompt's own text goes through a std::regex.
std::string worker_source(const Problem& problem, const std::string& program) {
  std::string text = program;
  if (const std::string preamble = split_prompt(problem.prompt).preamble; program.starts_with(preamble)) text = tag_unions(preamble) + program.substr(preamble.size());
  return std::string(kCodec) + kWorker + openssl(problem, program) + "#line 1 \"program.cpp\"\n" + text + "\n" + union_codecs(problem.prompt) + "int main() { return teeny_::serve(&" +
         problem.entry_point + "); }\n";
}

std::string driver_source(const Problem& problem) {
  static const std::regex main_head = pattern(R"(int\s+main\s*\(\s*\)\s*\{)");
  const Signature s = read_signature(problem);
  std::string test = test_without_closing(problem), arguments;
  for (const std::string& name : s.parameters) arguments += ", " + name;
  if (!std::regex_search(test, main_head)) throw input_error("judge", problem.task_id, "its test has no \"int main() {{\", which the judge looks for; fix the problem set");
  test = std::regex_replace(test, main_head, "static void teeny_test_() {", std::regex_constants::format_first_only);
  return std::string(kCodec) + kDriver + "#line 1 \"prompt.cpp\"\n" + tag_unions(s.preamble) + s.head + ";\n" + union_codecs(problem.prompt) + s.head +
         "{ return teeny_::call(&" + problem.entry_point + arguments + "); }\n#undef assert\n" +
         "#define assert(...) teeny_::check(bool(__VA_ARGS__), #__VA_ARGS__)\n#line 1 \"test.cpp\"\n" + test + "\nint main() { teeny_::judge(teeny_test_); }\n";
}

std::vector<std::string> compiler(const Language::Tools& tools) {
  return {"/bin/bash", "-c",
          "cd /tmp && cat <&3 >program.cpp && ulimit -v 2097152 && libraries= && if grep -q openssl/ program.cpp; then libraries='-lcrypto -lssl'; fi && " + tools[0] +
              " -std=c++17 -w -fmax-errors=5 -fdiagnostics-color=never program.cpp -o program $libraries >&2 && cat program >&4"};
}

}  // namespace

Language cpp_language() {
  Language l;
  l.id = "cpp";
  l.preferred = {"/usr/bin/g++"};
  l.executables = {"g++"};
  l.packages = "g++ libssl-dev";
  l.stops = {"\n}"};
  l.version_arguments = {"--version"};
  l.worker = [](const Language::Tools&) { return load_then("/tmp/program"); };
  l.driver = [](const Language::Tools&) { return load_then("/tmp/program"); };
  l.compiler = compiler;
  l.worker_source = worker_source;
  l.driver_source = driver_source;
  l.address_space = 1ull << 30;
  l.starts_processes = true;
  l.one_shot_driver = true;
  l.entry.test_before = "candidate =", l.entry.test_after = ";";
  l.complaints = {{"std::bad_alloc", "memory"}};
  return l;
}

}  // namespace teeny::judge
