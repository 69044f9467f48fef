// JavaScript under node: a worker that loads the program and answers calls, and a driver that runs the tests with a
// synchronous proxy for it. Values cross as tagged JSON and are rebuilt as plain data in the driver.
#include "judge/javascript.h"

namespace teeny::judge {
namespace {

constexpr const char* kCodec = R"js('use strict';
const fs = require('node:fs'), vm = require('node:vm');
function readExact(n) {
  const b = Buffer.alloc(n);
  for (let at = 0; at < n;) {
    const got = fs.readSync(3, b, at, n - at, null);
    if (!got) process.reallyExit(0);
    at += got;
  }
  return b;
}
function readFrame() { return readExact(readExact(4).readUInt32LE(0)); }
function writeFrame(kind, body) {
  const head = Buffer.alloc(5), b = Buffer.concat([head, Buffer.from(body)]);
  b.writeUInt32LE(b.length - 4, 0);
  b.write(kind, 4, 'latin1');
  for (let at = 0; at < b.length;) at += fs.writeSync(4, b, at);
}
function netstring(s) { const b = Buffer.from(String(s)); return Buffer.concat([Buffer.from(b.length + ':'), b]); }
function fields(b) {
  const out = [];
  for (let at = 1; at < b.length;) {
    const colon = b.indexOf(58, at), end = colon + 1 + Number(b.toString('latin1', at, colon));
    out.push(b.toString('utf8', colon + 1, end));
    at = end;
  }
  return out;
}
const maxDepth = 150;
let opaque = 0;
const unencodable = name => { opaque++; return ['x', name]; };
function encode(x, depth) {
  if (depth > maxDepth) throw new RangeError('value nested too deep');
  const each = v => encode(v, depth + 1);
  if (x === null || typeof x === 'string' || typeof x === 'boolean') return x;
  if (x === undefined) return ['u'];
  if (typeof x === 'number') return Number.isFinite(x) && !Object.is(x, -0) ? x : ['N', Object.is(x, -0) ? '-0' : String(x)];
  if (typeof x === 'bigint') return ['b', x.toString()];
  if (typeof x === 'function' || typeof x === 'symbol') return unencodable(typeof x);
  if (Array.isArray(x)) return ['a', Array.from(x, each)];
  if (x instanceof Map) return ['m', Array.from(Map.prototype.entries.call(x), p => [each(p[0]), each(p[1])])];
  if (x instanceof Set) return ['S', Array.from(Set.prototype.values.call(x), each)];
  if (x instanceof Date) return ['d', each(Date.prototype.getTime.call(x))];
  if (Object.prototype.toString.call(x) !== '[object Object]')
    return unencodable(Object.prototype.toString.call(x));
  return ['o', Object.keys(x).map(k => [k, each(x[k])])];
}
function decode(x) {
  if (x === null || typeof x !== 'object') return x;
  switch (x[0]) {
    case 'u': return undefined;
    case 'N': return Number(x[1]);
    case 'b': return BigInt(x[1]);
    case 'a': return Array.from(x[1], decode);
    case 'm': return new Map(x[1].map(p => [decode(p[0]), decode(p[1])]));
    case 'S': return new Set(x[1].map(decode));
    case 'd': return new Date(decode(x[1]));
    case 'o': {
      const o = {};
      for (const [k, v] of x[1])
        Object.defineProperty(o, String(k), {value: decode(v), enumerable: true, configurable: true, writable: true});
      return o;
    }
    default: return Symbol('unencodable ' + String(x[1]));   // equal to nothing else
  }
}
function failure(e) {
  let name = 'Error', message = '', code = '';
  try {
    name = String(e && e.name || typeof e); message = String(e && e.message !== undefined ? e.message : e).slice(0, 2000);
    code = String(e && e.code || '');
  } catch {}
  let kind = 'exception';
  if (/^(EPERM|EACCES|EROFS|ENETUNREACH|ECONNREFUSED)$/.test(code)) kind = 'refused';
  else if (e instanceof SyntaxError) kind = /end of input|Unterminated template/.test(message) ? 'truncated' : 'syntax';
  else if (e instanceof ReferenceError || code === 'MODULE_NOT_FOUND') kind = 'name';
  else if (e instanceof TypeError) kind = 'type';
  return [kind, name, message];
}
)js";

constexpr const char* kWorker = R"js(
const reply = (kind, parts) => writeFrame(kind, Buffer.concat(parts.map(p => Buffer.from(p))));
const compile = text => vm.compileFunction(text, ['require', 'module', 'exports'], {filename: 'candidate.js'});
let target, status = ['ok', '', ''];
try {
  const [entry, source] = fields(readFrame());
  const module = {exports: {}};
  let load;
  try { load = compile(source + '\n;return ' + entry + ';'); } catch (e) { compile(source); throw e; }  // the source's own error first
  target = load.call(undefined, require, module, module.exports);
} catch (e) { status = failure(e); }
reply('L', status.map(netstring));
if (status[0] === 'ok') for (;;) {
  const call = readFrame();
  try {
    const value = target(...decode(JSON.parse(call.toString('utf8', 1))));
    reply('R', ['v', JSON.stringify(encode(value, 0))]);
  } catch (e) { reply('R', ['x', ...failure(e).map(netstring)]); }
}
process.reallyExit(0);
)js";

constexpr const char* kDriver = R"js(
function judge(entry, test) {
  let calls = 0, raised, kind = '', unsupported = '';
  const proxy = {[entry]: (...args) => {
    opaque = 0;
    const call = encode(args, 0);
    if (opaque) { unsupported = 'the test passes a value that cannot be sent'; throw new Error(unsupported); }
    calls++;
    writeFrame('C', JSON.stringify(call));
    const reply = readFrame();
    if (reply[1] === 118) {
      try { return decode(JSON.parse(reply.toString('utf8', 2))); } catch { return Symbol('malformed'); }
    }
    const [k, name, message] = fields(reply.subarray(1));
    kind = String(k);
    const types = {TypeError, RangeError, ReferenceError, SyntaxError};
    raised = Object.hasOwn(types, name) ? new types[name](message) : new Error(message);
    raised.name = String(name);
    throw raised;
  }}[entry];
  let run;
  try { run = vm.compileFunction(test, ['require', 'module', 'exports', entry], {filename: 'test.js'}); }
  catch (e) { return ['unsupported', e.name, 'the test cannot be run: ' + e.message]; }
  try { const module = {exports: {}}; run.call(undefined, require, module, module.exports, proxy); }
  catch (e) {
    if (unsupported) return ['unsupported', 'Error', unsupported];
    if (e === raised) return [kind, e.name, e.message];
    const text = e && e.message !== undefined ? String(e.message).slice(0, 2000) : String(e);
    if (!calls) return ['unsupported', 'Error', 'the test failed before it called the program: ' + text];
    return ['wrong', String(e && e.name), text];
  }
  if (unsupported) return ['unsupported', 'Error', unsupported];
  return calls ? ['ok', '', ''] : ['unsupported', '', 'the test never called the program'];
}
for (;;) {
  const [nonce, entry, , test] = fields(readFrame());
  writeFrame('V', Buffer.concat([nonce, ...judge(entry, test)].map(netstring)));
}
)js";

// A fixed seed makes Math.random the same in every run; the heap limit turns a memory hog into an error of its own.
std::vector<std::string> command(const Language::Tools& tools, const char* program) {
  return {tools[0], "--random-seed=1", "--max-old-space-size=512", "--no-warnings", "-e", std::string(kCodec) + program};
}

}  // namespace

std::vector<std::string> javascript_worker(const Language::Tools& tools) { return command(tools, kWorker); }
std::vector<std::string> javascript_driver(const Language::Tools& tools) { return command(tools, kDriver); }

Language javascript_language() {
  Language l;
  l.id = "js";
  l.preferred = {"/usr/bin/node", "/usr/local/bin/node"};
  l.executables = {"node", "nodejs"};
  l.stops = {"\nfunction ", "\n/*", "\n//", "\nconsole.log"};
  l.version_arguments = {"--version"};
  l.packages = "nodejs";
  l.worker = javascript_worker;
  l.driver = javascript_driver;
  l.address_space = 8ull << 30;  // V8 reserves address space far beyond what it uses; the watchdog counts real pages
  l.entry = kJavaScriptEntry;
  l.complaints = {{"heap out of memory", "memory"}};
  return l;
}

}  // namespace teeny::judge
