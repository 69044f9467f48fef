// C# under mono: program and test become two assemblies. In the test's one the class Problem has, in the program's place,
// a method of the same signature that sends its arguments and gets the result as plain library objects; its own class
// Debug counts assertions and stops at the first that fails. Channel: stdin and stdout; what a program prints goes to
// stderr.
#include <fmt/ranges.h>

#include "judge/signature.h"

namespace teeny::judge {
namespace {

// Values: a tag and its bytes, counts as 4, decoded into the type that the signature asks for.
constexpr const char* kCodec = R"cs(
static class TeenyCodec {
  static readonly System.IO.Stream input = System.Console.OpenStandardInput(), output = System.Console.OpenStandardOutput();
  public sealed class Malformed : System.Exception {}
  static byte[] Exact(int n) {
    byte[] b = new byte[n];
    for (int at = 0; at < n;) { int got = input.Read(b, at, n - at); if (got <= 0) System.Environment.Exit(0); at += got; }
    return b;
  }
  public static byte[] ReadFrame() { return Exact(System.BitConverter.ToInt32(Exact(4), 0)); }
  public static void WriteFrame(System.IO.MemoryStream payload) {
    byte[] head = System.BitConverter.GetBytes((int) payload.Length);
    output.Write(head, 0, 4);
    payload.WriteTo(output);
    output.Flush();
  }
  public static void Send(string frame, params string[] fields) {
    System.IO.MemoryStream m = new System.IO.MemoryStream();
    Raw(m, System.Text.Encoding.UTF8.GetBytes(frame));
    foreach (string f in fields) {
      byte[] b = System.Text.Encoding.UTF8.GetBytes(f ?? "");
      Raw(m, System.Text.Encoding.ASCII.GetBytes(b.Length + ":"));
      Raw(m, b);
    }
    WriteFrame(m);
  }
  public static System.Collections.Generic.List<string> Fields(byte[] b, int at) {
    System.Collections.Generic.List<string> list = new System.Collections.Generic.List<string>();
    while (at < b.Length) {
      int colon = System.Array.IndexOf(b, (byte) ':', at);
      int n = int.Parse(System.Text.Encoding.ASCII.GetString(b, at, colon - at));
      list.Add(System.Text.Encoding.UTF8.GetString(b, colon + 1, n));
      at = colon + 1 + n;
    }
    return list;
  }
  static void Raw(System.IO.MemoryStream m, byte[] b) { m.Write(b, 0, b.Length); }
  static void Head(System.IO.MemoryStream m, char tag, int n) { m.WriteByte((byte) tag); Raw(m, System.BitConverter.GetBytes(n)); }
  static System.Array Items(object tuple) {
    System.Collections.Generic.List<object> list = new System.Collections.Generic.List<object>();
    for (int i = 1; ; i++) {
      System.Reflection.PropertyInfo p = tuple.GetType().GetProperty("Item" + i);
      if (p == null) return list.ToArray();
      list.Add(p.GetValue(tuple, null));
    }
  }
  public static void Put(System.IO.MemoryStream m, object x, int depth) {
    if (depth > 150) throw new System.ArgumentException("value nested too deep");
    if (x == null) m.WriteByte((byte) 'N');
    else if (x is bool) m.WriteByte((byte) ((bool) x ? 'T' : 'F'));
    else if (x is long || x is int || x is short || x is sbyte || x is byte || x is uint || x is ushort) {
      m.WriteByte((byte) (x is long ? 'l' : x is int ? 'i' : 'k'));
      Raw(m, System.BitConverter.GetBytes(System.Convert.ToInt64(x)));
    }
    else if (x is char) { m.WriteByte((byte) 'c'); Raw(m, System.BitConverter.GetBytes((long) (char) x)); }
    else if (x is float) { m.WriteByte((byte) 'f'); Raw(m, System.BitConverter.GetBytes((double) (float) x)); }
    else if (x is double) { m.WriteByte((byte) 'd'); Raw(m, System.BitConverter.GetBytes((double) x)); }
    else if (x is string) { byte[] b = System.Text.Encoding.Unicode.GetBytes((string) x); Head(m, 's', b.Length); Raw(m, b); }
    else if (x is System.Collections.IDictionary) {
      System.Collections.IDictionary d = (System.Collections.IDictionary) x;
      Head(m, 'm', d.Count);
      foreach (System.Collections.DictionaryEntry e in d) { Put(m, e.Key, depth + 1); Put(m, e.Value, depth + 1); }
    }
    else if (x is System.Collections.IList) {
      System.Collections.IList v = (System.Collections.IList) x;
      Head(m, 'v', v.Count);
      foreach (object e in v) Put(m, e, depth + 1);
    }
    else if (x.GetType().FullName.StartsWith("System.Tuple`") || x.GetType().FullName.StartsWith("System.ValueTuple`")) {
      System.Array items = Items(x);
      Head(m, 't', items.Length);
      foreach (object e in items) Put(m, e, depth + 1);
    }
    else { byte[] b = System.Text.Encoding.UTF8.GetBytes(x.GetType().FullName); Head(m, 'x', b.Length); Raw(m, b); }
  }
  public static object Get(byte[] b, ref int at, System.Type type, int depth) {
    if (depth > 151 || at >= b.Length) throw new Malformed();
    char tag = (char) b[at++];
    System.Type inner = System.Nullable.GetUnderlyingType(type);
    if (tag == 'N') { if (type.IsValueType && inner == null) throw new Malformed(); return null; }
    if (inner != null) type = inner;
    bool any = type == typeof(object);
    if (tag == 'T' || tag == 'F') { if (!any && type != typeof(bool)) throw new Malformed(); return tag == 'T'; }
    if ("likcfd".IndexOf(tag) >= 0) {
      if (b.Length - at < 8) throw new Malformed();
      long n = System.BitConverter.ToInt64(b, at);
      double d = System.BitConverter.ToDouble(b, at);
      at += 8;
      object value = tag == 'l' || tag == 'k' ? (object) n : tag == 'i' ? (object) (int) n : tag == 'c' ? (object) (char) n : tag == 'f' ? (object) (float) d : (object) d;
      if (any || value.GetType() == type) return value;
      if (type.IsPrimitive && type != typeof(bool) && !(value is char)) return System.Convert.ChangeType(value, type);
      throw new Malformed();
    }
    if (b.Length - at < 4) throw new Malformed();
    int count = System.BitConverter.ToInt32(b, at);
    at += 4;
    if (count < 0 || count > b.Length - at) throw new Malformed();
    if (tag == 's') {
      if (!any && type != typeof(string)) throw new Malformed();
      at += count;
      return System.Text.Encoding.Unicode.GetString(b, at - count, count);
    }
    System.Type[] of = type.IsGenericType ? type.GetGenericArguments() : new System.Type[0];
    if (tag == 'v') return Sequence(b, ref at, any ? typeof(System.Collections.Generic.List<object>) : type, count, depth);
    if (tag == 'm') {
      if (any) type = typeof(System.Collections.Generic.Dictionary<object, object>);
      else if (!typeof(System.Collections.IDictionary).IsAssignableFrom(type) || of.Length != 2) throw new Malformed();
      of = type.GetGenericArguments();
      System.Collections.IDictionary map = (System.Collections.IDictionary) System.Activator.CreateInstance(type);
      for (int i = 0; i < count; i++) { object key = Get(b, ref at, of[0], depth + 1); map[key] = Get(b, ref at, of[1], depth + 1); }
      return map;
    }
    if (tag == 't' && of.Length == count && type.FullName.Contains("Tuple`")) {
      object[] items = new object[count];
      for (int i = 0; i < count; i++) items[i] = Get(b, ref at, of[i], depth + 1);
      return System.Activator.CreateInstance(type, items);
    }
    throw new Malformed();
  }
  static object Sequence(byte[] b, ref int at, System.Type type, int count, int depth) {
    System.Type element = type.IsArray ? type.GetElementType() : type.IsGenericType && type.GetGenericArguments().Length == 1 ? type.GetGenericArguments()[0] : null;
    if (element == null) throw new Malformed();
    System.Type made = typeof(System.Collections.Generic.List<>).MakeGenericType(element);
    if (!type.IsArray && !type.IsAssignableFrom(made)) throw new Malformed();
    System.Collections.IList list = (System.Collections.IList) System.Activator.CreateInstance(made);
    for (int i = 0; i < count; i++) list.Add(Get(b, ref at, element, depth + 1));
    if (!type.IsArray) return list;
    System.Array array = System.Array.CreateInstance(element, count);
    list.CopyTo(array, 0);
    return array;
  }
}
)cs";

constexpr const char* kWorker = R"cs(
static class TeenyMain {
  static string Kind(System.Exception e) {
    if (e is System.OutOfMemoryException) return "memory";
    if (e is System.InvalidCastException) return "type";
    if (e is System.MissingMemberException || e is System.TypeLoadException || e is System.IO.FileNotFoundException) return "name";
    return e is System.UnauthorizedAccessException || e is System.Net.Sockets.SocketException ? "refused" : "exception";
  }
  public static void Main() {
    System.Console.SetOut(System.Console.Error);
    System.Console.SetIn(System.IO.TextReader.Null);
    System.Reflection.MethodInfo method = null;
    foreach (System.Reflection.MethodInfo m in typeof(Problem).GetMethods(System.Reflection.BindingFlags.Static | System.Reflection.BindingFlags.Public | System.Reflection.BindingFlags.NonPublic))
      if (m.Name == "@ENTRY@") method = m;
    if (method == null) { TeenyCodec.Send("L", "name", "", "the program does not define @ENTRY@"); return; }
    TeenyCodec.Send("L", "ok", "", "");
    for (;;) {
      byte[] call = TeenyCodec.ReadFrame();
      try {
        System.Reflection.ParameterInfo[] parameters = method.GetParameters();
        object[] arguments = new object[parameters.Length];
        int at = 2;
        if (call[1] != parameters.Length) throw new System.InvalidCastException("wrong number of arguments");
        for (int i = 0; i < arguments.Length; i++) arguments[i] = TeenyCodec.Get(call, ref at, parameters[i].ParameterType, 0);
        object result = method.Invoke(null, arguments);
        System.IO.MemoryStream m = new System.IO.MemoryStream();
        m.WriteByte((byte) 'R');
        m.WriteByte((byte) 'v');
        TeenyCodec.Put(m, result, 0);
        TeenyCodec.WriteFrame(m);
      } catch (System.Exception outer) {
        System.Exception e = outer is System.Reflection.TargetInvocationException && outer.InnerException != null ? outer.InnerException : outer;
        string text = "";
        try { text = e.Message; } catch (System.Exception) {}
        TeenyCodec.Send("Rx", Kind(e), e.GetType().FullName, text != null && text.Length > 2000 ? text.Substring(0, 2000) : text);
      }
    }
  }
}
)cs";

constexpr const char* kDriver = R"cs(
static class Debug {
  public sealed class Failed : System.Exception {}
  public static int checks = 0;
  public static void Assert(bool ok) { checks++; if (!ok) throw new Failed(); }
  public static void Assert(bool ok, string message) { Assert(ok); }
}
static class TeenyMain {
  public sealed class Raised : System.Exception { public string kind; public Raised(string k, string m) : base(m) { kind = k; } }
  static bool answered = false;  // from then on a test that fails fails of what it was given
  public static object Call(System.Type type, params object[] arguments) {
    System.IO.MemoryStream m = new System.IO.MemoryStream();
    m.WriteByte((byte) 'C');
    m.WriteByte((byte) arguments.Length);
    foreach (object a in arguments) TeenyCodec.Put(m, a, 0);
    TeenyCodec.WriteFrame(m);
    byte[] reply = TeenyCodec.ReadFrame();
    answered = true;
    if (reply.Length > 2 && reply[1] == 'v') {
      int at = 2;
      object x;
      try { x = TeenyCodec.Get(reply, ref at, type, 0); } catch (System.Exception) { throw new TeenyCodec.Malformed(); }
      if (at != reply.Length) throw new TeenyCodec.Malformed();
      return x;
    }
    System.Collections.Generic.List<string> f = TeenyCodec.Fields(reply, 2);
    throw new Raised(f[0], f[1] + ": " + f[2]);
  }
  public static void Main() {
    string nonce = TeenyCodec.Fields(TeenyCodec.ReadFrame(), 1)[0], kind = "ok", what = "";
    try { Problem.Main(new string[0]); if (Debug.checks == 0) { kind = "unsupported"; what = "the test asserts nothing"; } }
    catch (Debug.Failed) { kind = "wrong"; what = "assertion " + Debug.checks + " failed"; }
    catch (TeenyCodec.Malformed) { kind = "wrong"; what = "the program's result is not of the type asked for"; }
    catch (Raised e) { kind = e.kind; what = e.Message; }
    catch (System.NullReferenceException) { kind = "wrong"; what = "null where the test needs a value"; }
    catch (System.Exception e) { kind = answered ? "wrong" : "unsupported"; what = "the test failed by itself: " + e.Message; }
    TeenyCodec.Send("V", nonce, kind, "", what);
    System.Environment.Exit(0);
  }
}
)cs";

std::string worker_source(const Problem& problem, const std::string& program) {
  return program + kCodec + replace_all(kWorker, "@ENTRY@", problem.entry_point);
}

std::string driver_source(const Problem& problem) {
  const Signature s = read_signature(problem);
  return fmt::format("{}{} {{ return ({}) TeenyMain.Call(typeof({}), new object[] {{{}}}); }}\n", s.preamble, s.head, s.type, s.type, fmt::join(s.parameters, ", ")) +
         test_without_closing(problem) + kCodec + kDriver;
}

// mcs itself is a program for mono.
std::vector<std::string> compiler(const Language::Tools& tools) {
  return {"/bin/bash", "-c",
          "cd /tmp && cat <&3 >problem.cs && " + tools[0] + " " + tools[1] + " -nologo -warn:0 -langversion:latest -main:TeenyMain -r:System.Numerics.dll -r:System.Core.dll -out:program.exe problem.cs >&2 && cat program.exe >&4"};
}

std::vector<std::string> run(const Language::Tools& tools) { return load_then(tools[0] + " /tmp/program <&3 >&4"); }

}  // namespace

Language csharp_language() {
  Language l;
  l.id = "cs";
  l.preferred = {"/usr/bin/mono", "/usr/bin/mono-sgen"};
  l.executables = {"mono"};
  l.companions = {{"mcs", {"/usr/lib/mono/4.5/mcs.exe"}}};
  l.packages = "mono-mcs mono-runtime";
  l.folders = {"/etc/mono"};
  l.stops = {"\n    }\n"};
  l.version_arguments = {"--version"};
  l.worker = run;
  l.driver = run;
  l.compiler = compiler;
  l.worker_source = worker_source;
  l.driver_source = driver_source;
  l.address_space = 4ull << 30;
  l.startup_cpu_s = 0.5;
  l.starts_processes = true;
  l.one_shot_driver = true;
  l.complaints = {{"OutOfMemoryException", "memory"}, {"Out of memory", "memory"}};
  return l;
}

}  // namespace teeny::judge
