// TypeScript: the compiler checks the types of program and test together, as tsc would, and gives the program alone as
// JavaScript; node runs that and the test apart. Compiling runs nothing of the program.
#include <algorithm>

#include "judge/javascript.h"

namespace teeny::judge {
namespace {

// Reads netstrings entry, program, test; writes netstrings entry, JavaScript: what the JavaScript worker loads.
constexpr const char* kCompiler = R"js('use strict';
const fs = require('node:fs'), path = require('node:path');
const ts = require(process.argv[1]);
const parts = [], input = [];
for (const b = Buffer.alloc(65536);;) {
  const n = fs.readSync(3, b, 0, b.length, null);
  if (!n) break;
  input.push(Buffer.from(b.subarray(0, n)));
}
for (let b = Buffer.concat(input), at = 0; at < b.length;) {
  const colon = b.indexOf(58, at), end = colon + 1 + Number(b.toString('latin1', at, colon));
  parts.push(b.toString('utf8', colon + 1, end));
  at = end;
}
const [entry, program, test] = parts, name = '/program.ts';
function complaints(options) {
  const host = ts.createCompilerHost(options), whole = program + '\n' + test, read = host.getSourceFile;
  host.getSourceFile = (file, ...rest) => file === name ? ts.createSourceFile(file, whole, options.target) : read.call(host, file, ...rest);
  host.fileExists = file => file === name || ts.sys.fileExists(file);
  return ts.getPreEmitDiagnostics(ts.createProgram([name], options, host));
}
const common = {types: [], noEmitOnError: false, skipLibCheck: true, skipDefaultLibCheck: true};
let found = complaints({...common, target: ts.ScriptTarget.ES2015, lib: ['lib.es2015.d.ts', 'lib.dom.d.ts']});
if (found.length) found = complaints({...common, target: ts.ScriptTarget.ES5});
if (found.length) {
  for (const d of found.slice(0, 20)) {
    const at = d.file && d.start !== undefined ? d.file.getLineAndCharacterOfPosition(d.start) : {line: 0, character: 0};
    process.stderr.write(`program.ts(${at.line + 1},${at.character + 1}): error TS${d.code}: ${ts.flattenDiagnosticMessageText(d.messageText, '\n')}\n`);
  }
  process.exit(1);
}
const js = ts.transpileModule(program, {compilerOptions: {target: ts.ScriptTarget.ES2015, module: ts.ModuleKind.CommonJS}}).outputText;
const netstring = s => { const b = Buffer.from(s); return Buffer.concat([Buffer.from(b.length + ':'), b]); };
const out = Buffer.concat([netstring(entry), netstring(js)]);
for (let at = 0; at < out.length;) at += fs.writeSync(4, out, at);
)js";

std::vector<std::string> compiler(const Language::Tools& tools) {
  const std::string library = tools[1].substr(0, tools[1].rfind("/bin/")) + "/lib/typescript.js";
  return {tools[0], "--max-old-space-size=1024", "--no-warnings", "-e", kCompiler, library};
}

std::string worker_source(const Problem& problem, const std::string& program) {
  return netstring(problem.entry_point) + netstring(program) + netstring(test_without_closing(problem));
}

// The tests of MultiPL-E are JavaScript but for lines that only declare.
std::string test_text(const Problem& problem) {
  const std::string test = test_without_closing(problem);
  std::string out;
  for (size_t at = 0; at < test.size();) {
    const size_t end = std::min(test.find('\n', at), test.size());
    if (test.compare(at, 8, "declare ") != 0) out += test.substr(at, end - at);
    out += '\n';
    at = end + 1;
  }
  return out;
}

}  // namespace

Language typescript_language() {
  Language l;
  l.id = "ts";
  l.preferred = {"/usr/bin/node", "/usr/local/bin/node"};
  l.executables = {"node", "nodejs"};
  l.companions = {{"tsc", {"/usr/bin/tsc", "tsc"}}};
  l.packages = "node-typescript nodejs";
  l.stops = {"\nfunction ", "\n/*", "\n//", "\nconsole.log", "\nclass"};
  l.version_arguments = {"--version"};
  l.worker = javascript_worker;
  l.driver = javascript_driver;
  l.compiler = compiler;
  l.worker_source = worker_source;
  l.driver_source = [](const Problem&) { return std::string(); };
  l.test_text = test_text;
  l.address_space = 8ull << 30;
  l.entry = kJavaScriptEntry;
  l.complaints = {{"heap out of memory", "memory"}};
  return l;
}

}  // namespace teeny::judge
