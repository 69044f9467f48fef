#!/usr/bin/env python3
"""Fail when a file breaks the module order in src/CMakeLists.txt or a rule of docs/architecture.md."""
import pathlib, re, sys
root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
deps, no_torch, bad = {}, set(), []
for line in (root / "src/CMakeLists.txt").read_text().splitlines():
    m = re.match(r"teeny_module\((\w+)\s*(NO_TORCH)?\s*(?:DEPS\s+([\w ]+))?\)", line)
    if not m: continue
    name, later = m[1], set((m[3] or "").split()) - deps.keys()
    if later: bad.append(f"src/CMakeLists.txt: {name} names modules listed below it: {sorted(later)}")
    deps[name] = set((m[3] or "").split())
    if m[2]: no_torch.add(name)
for f in sorted([*root.glob("src/*/**/*"), *root.glob("include/teeny/*/**/*")]):
    if f.suffix not in {".h", ".cpp", ".cu", ".cuh"}: continue
    rel, text = f.relative_to(root), f.read_text()
    mod = rel.parts[1] if rel.parts[0] == "src" else rel.parts[2]
    if mod not in deps: bad.append(f"{rel}: module {mod} is not in src/CMakeLists.txt"); continue
    if text.count("\n") > 500: bad.append(f"{rel}: over 500 lines")
    for inc in re.findall(r'#\s*include\s*[<"]([^>"]+)', text):
        to = re.match(r"teeny/(\w+)/", inc)
        if to and to[1] != mod and to[1] not in deps[mod]: bad.append(f"{rel}: {mod} may not include {to[1]}")
        if re.match(r"(torch|ATen|c10)/", inc) and (mod in no_torch or f.suffix in {".cu", ".cuh"}):
            bad.append(f"{rel}: torch header in a torch-free file")
    if mod != "cli" and re.search(r"std::cout|\bprintf\(|fmt::print", text): bad.append(f"{rel}: only cli writes to stdout")
    if rel.name != "env.cpp" and "getenv(" in text: bad.append(f"{rel}: only core/env.cpp reads the environment")
print(*bad, sep="\n"); sys.exit(bool(bad))
