// Python: a worker that loads the program and answers calls, and a driver that runs the tests with a proxy for it.
// Values cross as tagged text; the driver rebuilds exact built-in types from it, so that no class, __eq__ or hash of the
// program ever reaches a comparison. Arguments go by value: a test does not see changes made in place.
#include "judge/language.h"

namespace teeny::judge {
namespace {

// Shared by both: frames and the codec. Only built-in modules are imported: start-up is most of the cost of a verdict.
constexpr const char* kCodec = R"py(
import sys, posix
sys.path[:] = [p for p in sys.path if p] + ['/usr/lib/python3/dist-packages'] * sys.executable.startswith('/usr/bin/')
sys.dont_write_bytecode = True

def read_exact(n):
    parts = []
    while n:
        b = posix.read(3, min(n, 1 << 20))
        if not b:
            posix._exit(0)
        parts.append(b)
        n -= len(b)
    return b''.join(parts)

def read_frame():
    return read_exact(int.from_bytes(read_exact(4), 'little'))

def write_frame(b):
    v = memoryview(len(b).to_bytes(4, 'little') + b)
    while v:
        v = v[posix.write(4, v):]

def netstring(s):
    b = s if type(s) is bytes else str(s).encode('utf-8', 'backslashreplace')
    return str(len(b)).encode() + b':' + b

def fields(b):
    out, at = [], 0
    while at < len(b):
        colon = b.index(b':', at)
        end = colon + 1 + int(b[at:colon])
        out.append(b[colon + 1:end].decode('utf-8', 'surrogatepass'))
        at = end
    return out

MAX_DEPTH = 150
opaque_seen = []

def encode(x, out, depth=0):
    t = type(x)
    if depth > MAX_DEPTH:
        raise RecursionError('value nested too deep')
    if x is None: out.append(b'N')
    elif x is True: out.append(b'T')
    elif x is False: out.append(b'F')
    elif isinstance(x, int): out.append(b'i%x;' % int.__add__(x, 0))
    elif isinstance(x, float): out.append(b'f' + float.hex(x).encode() + b';')
    elif isinstance(x, complex): out.append(b'c%s,%s;' % (x.real.hex().encode(), x.imag.hex().encode()))
    elif isinstance(x, str):
        b = str.encode(x, 'utf-8', 'surrogatepass')
        out.append(b's%d:' % len(b)); out.append(b)
    elif isinstance(x, (bytes, bytearray)):
        b = bytes(x)
        out.append((b'b' if isinstance(x, bytes) else b'B') + b'%d:' % len(b)); out.append(b)
    elif isinstance(x, (list, tuple, set, frozenset)):
        base, tag = next((b, g) for b, g in ((list, b'l'), (tuple, b't'), (set, b'S'), (frozenset, b'Z')) if isinstance(x, b))
        items = list(base.__iter__(x))
        out.append(tag + b'%d:' % len(items))
        for v in items: encode(v, out, depth + 1)
    elif isinstance(x, dict):
        items = list(dict.items(x))
        out.append(b'd%d:' % len(items))
        for k, v in items:
            encode(k, out, depth + 1); encode(v, out, depth + 1)
    elif t is range:
        out.append(b'r%x,%x,%x;' % (x.start, x.stop, x.step))
    elif t.__module__ == 'fractions' and t.__name__ == 'Fraction':
        out.append(b'q%x,%x;' % (x.numerator, x.denominator))
    elif t.__module__ == 'decimal' and t.__name__ == 'Decimal':
        out.append(b'D' + str(x).encode() + b';')
    else:
        name = str(t.__name__).encode('utf-8', 'backslashreplace')
        opaque_seen.append(name)
        out.append(b'o%d:' % len(name)); out.append(name)

def encoded(x):
    out = []
    encode(x, out)
    return b''.join(out)

class Opaque:
    "A value that cannot cross: equal to nothing, and good for nothing."
    def __init__(self, name): self.name = name
    def __eq__(self, other): return False
    def __ne__(self, other): return True
    __hash__ = object.__hash__
    def __repr__(self): return '<%s object>' % self.name

def decode(b, at=0, depth=0):
    if depth > MAX_DEPTH + 1:
        raise ValueError('too deep')
    g = b[at:at + 1]; at += 1
    if g == b'N': return None, at
    if g == b'T': return True, at
    if g == b'F': return False, at
    if g in (b'i', b'f', b'c', b'r', b'q', b'D'):
        end = b.index(b';', at)
        s = b[at:end].decode('ascii'); at = end + 1
        if g == b'i': return int(s, 16), at
        if g == b'f': return float.fromhex(s), at
        if g == b'D':
            import decimal
            return decimal.Decimal(s), at
        p = s.split(',')
        if g == b'c': return complex(float.fromhex(p[0]), float.fromhex(p[1])), at
        p = [int(v, 16) for v in p]
        if g == b'r': return range(*p), at
        import fractions
        return fractions.Fraction(*p), at
    colon = b.index(b':', at)
    n = int(b[at:colon]); at = colon + 1
    if n < 0 or n > len(b) - at: raise ValueError('bad length')
    if g in (b's', b'b', b'B', b'o'):
        raw = b[at:at + n]; at += n
        if g == b's': return raw.decode('utf-8', 'surrogatepass'), at
        if g == b'b': return raw, at
        if g == b'B': return bytearray(raw), at
        return Opaque(raw.decode('utf-8', 'replace')), at
    items = []
    for _ in range(n * 2 if g == b'd' else n):
        v, at = decode(b, at, depth + 1)
        items.append(v)
    if g == b'l': return items, at
    if g == b't': return tuple(items), at
    if g == b'S': return set(items), at
    if g == b'Z': return frozenset(items), at
    if g == b'd': return dict(zip(items[::2], items[1::2])), at
    raise ValueError('bad tag')

def decoded(b):
    v, at = decode(b)
    if at != len(b): raise ValueError('trailing bytes')
    return v

def failure(e):
    "kind, the nearest built-in class, message"
    base = next((c.__name__ for c in type(e).__mro__ if c.__module__ == 'builtins'), 'Exception')
    try: message = str(e)[:2000]
    except BaseException: message = ''
    if type(e).__name__ != base: message = type(e).__name__ + ': ' + message
    kind = 'exception'
    if isinstance(e, SyntaxError): kind = 'syntax'
    elif isinstance(e, (NameError, ImportError)): kind = 'name'
    elif isinstance(e, (TypeError, AttributeError)): kind = 'type'
    elif isinstance(e, MemoryError): kind = 'memory'
    elif isinstance(e, OSError) and e.errno in (1, 13, 30, 97, 101, 111): kind = 'refused'
    return kind, base, message
)py";

constexpr const char* kWorker = R"py(
def load():
    entry, source = fields(read_frame()[1:])
    module = type(sys)('candidate')
    sys.modules['candidate'] = module
    try:
        code = compile(source, 'candidate.py', 'exec', 0, True)
    except BaseException as e:
        kind, name, message = failure(e)
        last = len(source.rstrip().split('\n'))
        line = getattr(e, 'lineno', None) or 0
        if kind == 'syntax' and ('never closed' in message or 'unterminated triple' in message or 'EOF' in message
                                 or 'expected an indented block' in message and line >= last
                                 or isinstance(e, IndentationError) and line > last):
            kind = 'truncated'
        return None, (kind, name, message)
    try:
        exec(code, module.__dict__)
        if entry not in module.__dict__:
            raise NameError('the program does not define ' + entry)
        return module.__dict__[entry], ('ok', '', '')
    except BaseException as e:
        return None, failure(e)

def serve(function):
    if 'random' in sys.modules:
        sys.modules['random'].seed(0)
    while True:
        try:
            args, kwargs = decoded(read_frame()[1:])
            reply = b'v' + encoded(function(*args, **kwargs))
        except BaseException as e:
            reply = b'x' + b''.join(map(netstring, failure(e)))
        write_frame(b'R' + reply)

function, status = load()
write_frame(b'L' + b''.join(map(netstring, status)))
if status[0] == 'ok':
    serve(function)
)py";

constexpr const char* kDriver = R"py(
import ast, builtins, random, resource

class Unsupported(Exception):
    pass

class Proxy:
    def __init__(self):
        self.calls, self.raised, self.kind, self.name, self.unsupported = 0, None, '', '', None
    def __call__(self, *args, **kwargs):
        try:
            del opaque_seen[:]
            call = encoded((args, kwargs))
            if opaque_seen:
                raise TypeError(opaque_seen[0].decode())
        except (TypeError, RecursionError) as e:
            self.unsupported = 'the test passes a value that cannot be sent: %s' % e
            raise Unsupported(self.unsupported)
        self.calls += 1
        write_frame(b'C' + call)
        reply = read_frame()[1:]
        if reply[:1] == b'v':
            try: return decoded(reply[1:])
            except Exception: return Opaque('malformed')
        try: self.kind, name, message = fields(reply[1:])
        except Exception: self.kind, name, message = 'exception', 'Exception', 'malformed reply'
        self.name = name
        cls = getattr(builtins, name, None)
        if not (isinstance(cls, type) and issubclass(cls, Exception)):
            cls = RuntimeError
        try: self.raised = cls(message)
        except Exception: self.raised = RuntimeError(message)
        raise self.raised

def namespace(prompt, entry, proxy):
    "What the prompt defines beside the function asked for: imports, helpers that the tests use."
    for text in (prompt, prompt + '\n    pass\n'):
        ns = {'__name__': 'test'}
        try:
            exec(compile(text, 'prompt.py', 'exec', 0, True), ns)
            break
        except Exception:
            ns = {'__name__': 'test'}
    ns[entry] = proxy
    return ns

def calls_check(tree):
    return any(isinstance(s, ast.Expr) and isinstance(s.value, ast.Call) and getattr(s.value.func, 'id', '') == 'check' for s in tree.body)

def judge(entry, prompt, test):
    proxy = Proxy()
    try:
        tree = ast.parse(test, 'test.py')
        code = compile(tree, 'test.py', 'exec', 0, True)
        ns = namespace(prompt, entry, proxy)
    except BaseException as e:
        return 'unsupported', type(e).__name__, 'the test cannot be run: %s' % e
    try:
        exec(code, ns)
        if 'check' in ns and not calls_check(tree):
            ns['check'](proxy)
    except BaseException as e:
        if proxy.unsupported: return 'unsupported', 'Unsupported', proxy.unsupported
        if e is proxy.raised: return proxy.kind, proxy.name, str(e)
        if not proxy.calls: return 'unsupported', type(e).__name__, 'the test failed before it called the program: %s' % e
        return 'wrong', type(e).__name__, str(e)[:2000]
    if proxy.unsupported: return 'unsupported', 'Unsupported', proxy.unsupported
    if not proxy.calls: return 'unsupported', '', 'the test never called the program'
    return 'ok', '', ''

def main():
    while True:
        nonce, entry, prompt, test, seconds = fields(read_frame()[1:])
        pid = posix.fork()
        if not pid:
            random.seed(0)
            limit = max(1, int(float(seconds)))
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
            try: result = judge(entry, prompt, test)
            except BaseException as e: result = ('unsupported', type(e).__name__, str(e))
            write_frame(b'V' + b''.join(map(netstring, (nonce,) + result)))
            posix._exit(0)
        _, status = posix.waitpid(pid, 0)
        if status:
            posix._exit(1)

main()
)py";

std::vector<std::string> command(const Language::Tools& tools, const char* program) { return {tools[0], "-s", "-S", "-B", "-c", std::string(kCodec) + program}; }
std::vector<std::string> worker(const Language::Tools& tools) { return command(tools, kWorker); }
std::vector<std::string> driver(const Language::Tools& tools) { return command(tools, kDriver); }

}  // namespace

Language python_language() {
  Language l;
  l.id = "python";
  l.preferred = {"/usr/bin/python3", "/usr/local/bin/python3"};
  l.executables = {"python3", "python"};
  l.stops = {"\ndef ", "\n//", "\nclass ", "\nif ", "\nprint", "\nfunction", "\n@", "\n#"};
  l.version_arguments = {"--version"};
  l.packages = "python3 python3-numpy";
  l.worker = worker;
  l.driver = driver;
  l.address_space = 1ull << 30;
  l.entry.prompt_before = "\ndef", l.entry.prompt_after = "(";
  l.complaints = {{"MemoryError", "memory"}};
  return l;
}

}  // namespace teeny::judge
