// PHP: a worker that loads the program and answers calls, and a driver that runs the test with a function in the
// program's place. Values cross as tagged text. Arguments go by value.
#include "judge/language.h"

namespace teeny::judge {
namespace {

constexpr const char* kCodec = R"php(
namespace Teeny;
$teeny_in = fopen('php://fd/3', 'rb'); $teeny_out = fopen('php://fd/4', 'wb');
function read_exact($n) {
  global $teeny_in;
  $b = '';
  while (strlen($b) < $n) {
    $part = fread($teeny_in, $n - strlen($b));
    if ($part === false || $part === '') { if (feof($teeny_in)) exit(0); continue; }
    $b .= $part;
  }
  return $b;
}
function read_frame() { return read_exact(unpack('V', read_exact(4))[1]); }
function write_frame($b) {
  global $teeny_out;
  $b = pack('V', strlen($b)) . $b;
  while ($b !== '') { $n = fwrite($teeny_out, $b); if (!$n) exit(0); $b = substr($b, $n); }
  fflush($teeny_out);
}
function netstring($s) { return strlen($s) . ':' . $s; }
function fields($b) {
  $out = []; $at = 0;
  while ($at < strlen($b)) {
    $colon = strpos($b, ':', $at);
    if ($colon === false) break;
    $n = (int)substr($b, $at, $colon - $at);
    $out[] = substr($b, $colon + 1, $n);
    $at = $colon + 1 + $n;
  }
  return $out;
}
final class Opaque { public $name; function __construct($name) { $this->name = $name; } }
function encode($x, $depth = 0) {
  if ($depth > 150) throw new \Exception('value nested too deep');
  if ($x === null) return 'N';
  if ($x === true) return 'T';
  if ($x === false) return 'F';
  if (is_int($x)) return 'i' . $x . ';';
  if (is_float($x)) return 'f' . pack('E', $x);
  if (is_string($x)) return 's' . strlen($x) . ':' . $x;
  if (is_array($x)) {
    $s = 'a' . count($x) . ':';
    foreach ($x as $k => $v) $s .= encode($k, $depth + 1) . encode($v, $depth + 1);
    return $s;
  }
  $name = is_object($x) ? get_class($x) : gettype($x);
  return 'o' . strlen($name) . ':' . $name;
}
function number($b, &$at, $end) {
  $stop = strpos($b, $end, $at);
  if ($stop === false || $stop - $at > 21) throw new \Exception('bad number');
  $text = substr($b, $at, $stop - $at);
  $at = $stop + 1;
  return (int)$text;
}
function decode($b, &$at, $depth = 0) {
  if ($depth > 151 || $at >= strlen($b)) throw new \Exception('bad value');
  $tag = $b[$at++];
  if ($tag === 'N') return null;
  if ($tag === 'T') return true;
  if ($tag === 'F') return false;
  if ($tag === 'i') return number($b, $at, ';');
  if ($tag === 'f') { $x = unpack('E', substr($b, $at, 8))[1]; $at += 8; return $x; }
  $n = number($b, $at, ':');
  if ($n < 0 || $n > strlen($b) - $at) throw new \Exception('bad length');
  if ($tag === 's' || $tag === 'o') {
    $s = substr($b, $at, $n); $at += $n;
    return $tag === 's' ? $s : new Opaque($s);
  }
  if ($tag !== 'a') throw new \Exception('bad tag');
  $out = [];
  for ($i = 0; $i < $n; $i++) {
    $k = decode($b, $at, $depth + 1);
    if (!is_int($k) && !is_string($k)) throw new \Exception('bad key');
    $out[$k] = decode($b, $at, $depth + 1);
  }
  return $out;
}
function failure($e) {
  $m = $e->getMessage();
  $kind = 'exception';
  if ($e instanceof \ParseError) $kind = preg_match('/end of file|Unclosed/', $m) ? 'truncated' : 'syntax';
  elseif ($e instanceof \TypeError) $kind = 'type';
  elseif ($e instanceof \Error && preg_match('/^(Call to undefined|Undefined|Class ".*" not found)/', $m)) $kind = 'name';
  return [$kind, get_class($e), substr($m, 0, 2000)];
}
function source($text) { return preg_replace('/^\s*<\?php|\?>\s*$/', '', $text); }
)php";

// The program is evaluated at the top, where its variables are global ones; PHP's own fatal errors end the process.
constexpr const char* kWorker = R"php(
[$teeny_entry, $teeny_text] = fields(substr(read_frame(), 1));
$teeny_status = ['ok', '', ''];
try {
  eval(source($teeny_text));
  if (!function_exists($teeny_entry)) $teeny_status = ['name', 'Error', 'the program does not define ' . $teeny_entry];
} catch (\Throwable $teeny_error) { $teeny_status = failure($teeny_error); }
write_frame('L' . implode('', array_map('Teeny\netstring', $teeny_status)));
(function ($entry, $ready) {
  while ($ready) {
    $frame = read_frame();
    $at = 1;
    try { $reply = 'v' . encode($entry(...decode($frame, $at))); }
    catch (\Throwable $e) { $reply = 'x' . implode('', array_map('Teeny\netstring', failure($e))); }
    write_frame('R' . $reply);
  }
})($teeny_entry, $teeny_status[0] === 'ok');
)php";

constexpr const char* kDriver = R"php(
final class State { public static $calls = 0, $raised = null, $kind = '', $unsupported = ''; }
final class Raised extends \Exception {}
function call($args) {
  foreach ($args as $a) if (is_object($a) || is_resource($a)) {
    State::$unsupported = 'the test passes a value that cannot be sent';
    throw new \Exception(State::$unsupported);
  }
  State::$calls++;
  write_frame('C' . encode($args));
  $reply = substr(read_frame(), 1);
  if (($reply[0] ?? '') === 'v') {
    $at = 1;
    try {
      $value = decode($reply, $at);
      return $at === strlen($reply) ? $value : new Opaque('malformed');
    } catch (\Throwable $e) { return new Opaque('malformed'); }
  }
  $f = fields(substr($reply, 1));
  State::$kind = $f[0] ?? 'exception';
  throw State::$raised = new Raised(($f[1] ?? '') . ': ' . ($f[2] ?? 'malformed reply'));
}
function isolated() { eval(func_get_arg(0)); }
(function () {
  [$nonce, $entry, , $test] = fields(substr(read_frame(), 1));
  $verdict = ['ok', '', ''];
  if (function_exists($entry)) {
    $verdict = ['unsupported', '', "PHP itself has a function $entry(): no program can define it"];
  } else {
    eval("namespace { function $entry(...\$args) { return \Teeny\call(\$args); } }");
    try { isolated(source($test)); }
    catch (\Throwable $e) {
      $text = substr($e->getMessage(), 0, 2000);
      if (State::$unsupported) $verdict = ['unsupported', '', State::$unsupported];
      elseif ($e === State::$raised) $verdict = [State::$kind, '', $text];
      elseif ($e instanceof \ParseError || !State::$calls) $verdict = ['unsupported', get_class($e), 'the test cannot be run: ' . $text];
      else $verdict = ['wrong', get_class($e), $text];
    }
    if ($verdict[0] === 'ok' && State::$unsupported) $verdict = ['unsupported', '', State::$unsupported];
  }
  write_frame('V' . implode('', array_map('Teeny\netstring', array_merge([$nonce], $verdict))));
})();
)php";

std::vector<std::string> command(const Language::Tools& tools, const char* program) {
  return {tools[0], "-d", "display_errors=stderr", "-d", "log_errors=0", "-d", "memory_limit=512M", "-d", "opcache.enable_cli=0", "-d", "pcre.jit=0",
          "-d", "allow_url_fopen=0", "-r", std::string(kCodec) + program};
}

}  // namespace

Language php_language() {
  Language l;
  l.id = "php";
  l.preferred = {"/usr/bin/php", "/usr/local/bin/php"};
  l.executables = {"php"};
  l.packages = "php-cli";
  l.folders = {"/etc/php"};
  l.stops = {"\nfunction", "\n?>", "\n//", "\n#"};
  l.version_arguments = {"--version"};
  l.worker = [](const Language::Tools& tools) { return command(tools, kWorker); };
  l.driver = [](const Language::Tools& tools) { return command(tools, kDriver); };
  l.address_space = 2ull << 30;
  l.one_shot_driver = true;
  l.entry = {"return", "(...$args)", "\nfunction", "("};  // the test wraps it
  l.complaints = {{"Allowed memory size", "memory"}, {"Out of memory", "memory"}, {"Cannot redeclare", "name"}, {"Maximum function nesting", "exception"}};
  return l;
}

}  // namespace teeny::judge
