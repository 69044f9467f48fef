// Java: program and test become two jars. In the test's one the class Problem has, in the program's place, a method of
// the same signature that sends its arguments and gets the result as plain library objects, so no equals() of the program
// is near a comparison. The channel is the process's stdin and stdout; what a program prints goes to stderr.
#include <fmt/ranges.h>

#include "judge/signature.h"

namespace teeny::judge {
namespace {

// Values: a tag, numbers as 8 bytes big-endian, counts as 4. Tuples are org.javatuples'.
constexpr const char* kCodec = R"java(
final class TeenyCodec {
  static final java.io.DataInputStream in = new java.io.DataInputStream(new java.io.BufferedInputStream(new java.io.FileInputStream(java.io.FileDescriptor.in)));
  static final java.io.OutputStream out = new java.io.FileOutputStream(java.io.FileDescriptor.out);
  static final class Opaque { final java.lang.String name; Opaque(java.lang.String n) { name = n; } public boolean equals(java.lang.Object o) { return false; } public int hashCode() { return 0; } }
  static byte[] readFrame() throws java.io.IOException {
    int n;
    try { n = java.lang.Integer.reverseBytes(in.readInt()); } catch (java.io.EOFException e) { java.lang.Runtime.getRuntime().halt(0); return null; }
    byte[] b = new byte[n];
    in.readFully(b);
    return b;
  }
  static void writeFrame(byte[] b) throws java.io.IOException {
    byte[] f = java.nio.ByteBuffer.allocate(b.length + 4).order(java.nio.ByteOrder.LITTLE_ENDIAN).putInt(b.length).put(b).array();
    out.write(f);
    out.flush();
  }
  static byte[] utf8(java.lang.String s) { return s.getBytes(java.nio.charset.StandardCharsets.UTF_8); }
  static void netstring(java.io.ByteArrayOutputStream o, java.lang.String s) { byte[] b = utf8(s == null ? "" : s); o.writeBytes(utf8(b.length + ":")); o.writeBytes(b); }
  static java.util.ArrayList<java.lang.String> fields(byte[] b, int at) {
    java.util.ArrayList<java.lang.String> list = new java.util.ArrayList<>();
    while (at < b.length) {
      int colon = at;
      while (colon < b.length && b[colon] != ':') colon++;
      int n = java.lang.Integer.parseInt(new java.lang.String(b, at, colon - at, java.nio.charset.StandardCharsets.ISO_8859_1));
      list.add(new java.lang.String(b, colon + 1, n, java.nio.charset.StandardCharsets.UTF_8));
      at = colon + 1 + n;
    }
    return list;
  }
  static void put(java.io.DataOutputStream o, java.lang.Object x, int depth) throws java.io.IOException {
    if (depth > 150) throw new java.lang.IllegalArgumentException("value nested too deep");
    if (x == null) o.write('N');
    else if (x instanceof java.lang.Long v) { o.write('l'); o.writeLong(v); }
    else if (x instanceof java.lang.Integer v) { o.write('i'); o.writeLong(v); }
    else if (x instanceof java.lang.Short v) { o.write('h'); o.writeLong(v); }
    else if (x instanceof java.lang.Byte v) { o.write('y'); o.writeLong(v); }
    else if (x instanceof java.lang.Character v) { o.write('c'); o.writeLong(v); }
    else if (x instanceof java.lang.Float v) { o.write('f'); o.writeFloat(v); }
    else if (x instanceof java.lang.Double v) { o.write('d'); o.writeDouble(v); }
    else if (x instanceof java.lang.Boolean v) o.write(v ? 'T' : 'F');
    else if (x instanceof java.lang.String v) { byte[] b = new byte[v.length() * 2]; java.nio.ByteBuffer.wrap(b).asCharBuffer().put(v); o.write('s'); o.writeInt(v.length()); o.write(b); }
    else if (x instanceof java.util.List<?> v) each(o, 'v', v.toArray(), depth);
    else if (x instanceof java.util.Set<?> v) each(o, 'S', v.toArray(), depth);
    else if (x instanceof org.javatuples.Tuple v) each(o, 't', v.toList().toArray(), depth);
    else if (x instanceof java.util.Map<?, ?> v) {
      java.util.ArrayList<java.lang.Object> flat = new java.util.ArrayList<>();
      for (java.util.Map.Entry<?, ?> e : v.entrySet()) { flat.add(e.getKey()); flat.add(e.getValue()); }
      each(o, 'm', flat.toArray(), depth);
    }
    else if (x instanceof java.util.Optional<?> v) { o.write(v.isPresent() ? 'o' : 'e'); if (v.isPresent()) put(o, v.get(), depth + 1); }
    else if (x instanceof java.lang.Object[] v) each(o, 'a', v, depth);
    else { byte[] b = utf8(x.getClass().getName()); o.write('x'); o.writeInt(b.length); o.write(b); }
  }
  static void each(java.io.DataOutputStream o, char tag, java.lang.Object[] items, int depth) throws java.io.IOException {
    o.write(tag);
    o.writeInt(items.length);
    for (java.lang.Object e : items) put(o, e, depth + 1);
  }
  static java.lang.Object get(java.io.DataInputStream i, int depth) throws java.io.IOException {
    if (depth > 151) throw new java.io.IOException("too deep");
    int tag = i.read();
    switch (tag) {
      case 'N': return null;
      case 'T': return true;
      case 'F': return false;
      case 'l': return i.readLong();
      case 'i': return (int) i.readLong();
      case 'h': return (short) i.readLong();
      case 'y': return (byte) i.readLong();
      case 'c': return (char) i.readLong();
      case 'f': return i.readFloat();
      case 'd': return i.readDouble();
      case 'e': return java.util.Optional.empty();
      case 'o': return java.util.Optional.of(get(i, depth + 1));
      default:
    }
    int n = i.readInt();
    if (n < 0 || n > i.available()) throw new java.io.IOException("bad length");
    if (tag == 's') { byte[] b = i.readNBytes(2 * n); return java.nio.ByteBuffer.wrap(b).asCharBuffer().toString(); }
    if (tag == 'x') return new Opaque(new java.lang.String(i.readNBytes(n), java.nio.charset.StandardCharsets.UTF_8));
    java.util.ArrayList<java.lang.Object> items = new java.util.ArrayList<>();
    for (int k = 0; k < n; k++) items.add(get(i, depth + 1));
    switch (tag) {
      case 'v': return items;
      case 'S': return new java.util.HashSet<java.lang.Object>(items);
      case 'a': return items.toArray();
      case 't': return tuple(items);
      case 'm': {
        java.util.HashMap<java.lang.Object, java.lang.Object> m = new java.util.HashMap<>();
        for (int k = 0; k + 1 < n; k += 2) m.put(items.get(k), items.get(k + 1));
        return m;
      }
      default: throw new java.io.IOException("bad tag");
    }
  }
  static java.lang.Object tuple(java.util.ArrayList<java.lang.Object> v) throws java.io.IOException {
    switch (v.size()) {
      case 1: return org.javatuples.Unit.fromCollection(v);
      case 2: return org.javatuples.Pair.fromCollection(v);
      case 3: return org.javatuples.Triplet.fromCollection(v);
      case 4: return org.javatuples.Quartet.fromCollection(v);
      case 5: return org.javatuples.Quintet.fromCollection(v);
      default: throw new java.io.IOException("tuple of " + v.size());
    }
  }
  static java.lang.Object decode(byte[] b, int at) throws java.io.IOException {
    java.io.ByteArrayInputStream bytes = new java.io.ByteArrayInputStream(b, at, b.length - at);
    java.lang.Object x = get(new java.io.DataInputStream(bytes), 0);
    if (bytes.available() != 0) throw new java.io.IOException("trailing bytes");
    return x;
  }
}
)java";

constexpr const char* kWorker = R"java(
final class TeenyMain {
  static java.lang.String kind(java.lang.Throwable e) {
    if (e instanceof java.lang.OutOfMemoryError) return "memory";
    if (e instanceof java.lang.ClassCastException) return "type";
    if (e instanceof java.lang.LinkageError) return "name";
    return "exception";
  }
  public static void main(java.lang.String[] a) throws java.lang.Throwable {
    java.lang.System.setOut(java.lang.System.err);
    java.lang.System.setIn(new java.io.ByteArrayInputStream(new byte[0]));
    java.lang.reflect.Method method = null;
    try {
      for (java.lang.reflect.Method m : java.lang.Class.forName("Problem").getDeclaredMethods())
        if (m.getName().equals("@ENTRY@") && java.lang.reflect.Modifier.isStatic(m.getModifiers())) method = m;
      if (method == null) { send("L", "name", "", "the program does not define @ENTRY@"); return; }
      method.setAccessible(true);
    } catch (java.lang.Throwable e) { report("L", e); return; }
    TeenyCodec.writeFrame(TeenyCodec.utf8("L2:ok0:0:"));
    for (;;) {
      byte[] call = TeenyCodec.readFrame();
      try {
        java.lang.Object result = method.invoke(null, (java.lang.Object[]) TeenyCodec.decode(call, 1));
        java.io.ByteArrayOutputStream b = new java.io.ByteArrayOutputStream();
        b.writeBytes(TeenyCodec.utf8("Rv"));
        TeenyCodec.put(new java.io.DataOutputStream(b), result, 0);
        TeenyCodec.writeFrame(b.toByteArray());
      } catch (java.lang.reflect.InvocationTargetException e) { report("Rx", e.getCause()); }
      catch (java.lang.Throwable e) { report("Rx", e); }
    }
  }
  static void report(java.lang.String frame, java.lang.Throwable e) throws java.io.IOException {
    java.lang.String text;
    try { text = e.getMessage(); } catch (java.lang.Throwable t) { text = ""; }
    send(frame, kind(e), e.getClass().getName(), text != null && text.length() > 2000 ? text.substring(0, 2000) : text);
  }
  static void send(java.lang.String frame, java.lang.String... fields) throws java.io.IOException {
    java.io.ByteArrayOutputStream b = new java.io.ByteArrayOutputStream();
    b.writeBytes(TeenyCodec.utf8(frame));
    for (java.lang.String f : fields) TeenyCodec.netstring(b, f);
    TeenyCodec.writeFrame(b.toByteArray());
  }
}
)java";

constexpr const char* kDriver = R"java(
final class TeenyMain {
  static final class Raised extends java.lang.RuntimeException { final java.lang.String kind; Raised(java.lang.String k, java.lang.String m) { super(m); kind = k; } }
  static final class Malformed extends java.lang.RuntimeException {}
  static boolean answered = false;  // from then on a test that fails fails of what it was given
  static java.lang.Object call(java.lang.Object... arguments) {
    try {
      java.io.ByteArrayOutputStream b = new java.io.ByteArrayOutputStream();
      b.write('C');
      TeenyCodec.put(new java.io.DataOutputStream(b), arguments, 0);
      TeenyCodec.writeFrame(b.toByteArray());
      byte[] reply = TeenyCodec.readFrame();
      answered = true;
      if (reply.length > 2 && reply[1] == 'v') {
        try { return TeenyCodec.decode(reply, 2); } catch (java.lang.Throwable e) { throw new Malformed(); }
      }
      java.util.ArrayList<java.lang.String> f = TeenyCodec.fields(reply, 2);
      throw new Raised(f.get(0), f.get(1) + ": " + f.get(2));
    } catch (java.io.IOException e) { throw new Malformed(); }
  }
  public static void main(java.lang.String[] a) throws java.lang.Throwable {
    java.lang.String nonce = TeenyCodec.fields(TeenyCodec.readFrame(), 1).get(0), kind = "ok", what = "";
    boolean checks = false;
    assert checks = true;
    if (!checks) { kind = "unsupported"; what = "assertions are off"; }
    else try { Problem.main(new java.lang.String[0]); }
    catch (java.lang.AssertionError e) { kind = "wrong"; what = "assertion failed at line " + e.getStackTrace()[0].getLineNumber(); }
    catch (Malformed | java.lang.ClassCastException e) { kind = "wrong"; what = "the program's result is not of the type asked for"; }
    catch (Raised e) { kind = e.kind; what = e.getMessage(); }
    catch (java.lang.NullPointerException e) { kind = "wrong"; what = "null where the test needs a value"; }
    catch (java.lang.Throwable e) { kind = answered ? "wrong" : "unsupported"; what = "the test failed by itself: " + e; }
    java.io.ByteArrayOutputStream b = new java.io.ByteArrayOutputStream();
    b.write('V');
    for (java.lang.String s : new java.lang.String[] {nonce, kind, "", what}) TeenyCodec.netstring(b, s);
    TeenyCodec.writeFrame(b.toByteArray());
    java.lang.Runtime.getRuntime().halt(0);
  }
}
)java";

std::string worker_source(const Problem& problem, const std::string& program) {
  return program + kCodec + replace_all(kWorker, "@ENTRY@", problem.entry_point);
}

std::string driver_source(const Problem& problem) {
  const Signature s = read_signature(problem);
  return fmt::format("{}{} {{ return ({}) (Object) TeenyMain.call(new Object[] {{{}}}); }}\n", s.preamble, s.head, s.type, fmt::join(s.parameters, ", ")) +
         test_without_closing(problem) + kCodec + kDriver;
}

// The jar is not compressed: it lives for one program. Annotation processors, which would run in the compiler, are off.
std::vector<std::string> compiler(const Language::Tools& tools) {
  return {"/bin/bash", "-c",
          "cd /tmp && cat <&3 >Problem.java && mkdir out && " + tools[1] + " -J-Xmx512m -J-XX:+UseSerialGC -J-XX:TieredStopAtLevel=1 -J-Xshare:auto -proc:none -nowarn -Xlint:none " +
              "-Xmaxerrs 5 -encoding UTF-8 -cp " + tools[2] + " -d out Problem.java >&2 && cd out && tar -cf - . >&4"};
}

std::vector<std::string> run(const Language::Tools& tools) {
  return load_then("/bin/sh -c 'cd /tmp && mkdir classes && tar -xf program -C classes && exec " + tools[0] +
                   " -ea -Xmx512m -Xss8m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -XX:-UsePerfData -XX:CICompilerCount=1 -cp classes:" + tools[2] + " TeenyMain <&3 >&4'");
}

}  // namespace

Language java_language() {
  Language l;
  l.id = "java";
  l.preferred = {"/usr/bin/java"};
  l.executables = {"java"};
  l.companions = {{"javac", {"/usr/bin/javac", "javac"}}, {"javatuples.jar", {"/usr/share/java/javatuples.jar"}}};
  l.packages = "default-jdk-headless libjavatuples-java";
  l.folders = {"/etc/java-*"};
  l.stops = {"\n    }\n"};
  l.version_arguments = {"--version"};
  l.worker = run;
  l.driver = run;
  l.compiler = compiler;
  l.worker_source = worker_source;
  l.driver_source = driver_source;
  l.processes = 64;
  l.startup_cpu_s = 1;
  l.starts_processes = true;
  l.one_shot_driver = true;
  l.complaints = {{"OutOfMemoryError", "memory"}};
  return l;
}

}  // namespace teeny::judge
