#!/usr/bin/env python3
"""Write tests/data/tokenizer_cases.json and chat_cases.json: what `tokenizers` and jinja2 make of small probe texts.

usage: make_text_cases.py      (needs: pip install tokenizers jinja2)
"""
import json, pathlib, random
import jinja2, tokenizers
from tokenizer_compare import random_text, variants

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "configs/models/teeny-demo-7m"
TEXTS = [
    "", " ", "  ", "   ", "\t", "\n", "\r", "\r\n", "\r\n\r\n", " \n", "\n ", "\n\n\n   x", "x   ", "x\t\ty", " \t\r\n \tz", "a\u00a0b", "a \u00a0b", "\u3000x", "\u2028\u2029x",
    "\u0085", "\u180ex", "\u200bx", "\ufeffHello", "Hello world", " Hello", "   Hello", "Hello, y'all! I'm you'll we've they'd it's don't we're",
    "I'M YOU'LL WE'VE THEY'D IT'S DON'T WE'RE", "it'\u017f it'\u017ft '\u017f", "''s 's' 'l 'lx 'll", "'", "' s", "x'", "'R", "'rE", "' ", "1", "12", "123", "1234", "1234567890", "a1b22c333",
    "\u0661\u0662\u0663\u0664", "\u00b2\u00bd\u2167", "3.14159e-10", "\u00e9", "e\u0301", "e\u0301\u0323", "e\u0323\u0301", "\u0301", "\u1100\u1161\u11a8", "\uac00\u11a8",
    "\u212b\u2126\u00b5", "\u0958\u0f73", "\U00011935\U00011930", "q\u1df6\u0334", "q\u0334\u0345\u0301", "\u0344", "\u4f60\u597d\uff0c\u4e16\u754c\u3002", "\u3053\u3093\u306b\u3061\u306f \u4e16\u754c", "\uac00\ub098\ub2e4 \ub77c",
    "\U0001f999", "\U0001f636\u200d\U0001f32b\ufe0f \u2705", "\U0001f1e9\U0001f1ea\U0001f44d\U0001f3fd", "\u043d\u0435\u0449\u043e \u043d\u0430 \u0411\u044a\u043b\u0433\u0430\u0440\u0441\u043a\u0438", "\u1780\u17b6\u1793\u17cb\u178f\u17c2", "\u05e9\u05b8\u05dc\u05d5\u05b9\u05dd", "\u0627\u0644\u0633\u0644\u0627\u0645",
    "\U0001d49c\U00020000\U0010ffff", "\u0378\ue000", "\x01\x1f\x7f", "\x00", "a\x00b", "!!!!!!", "->>=<=!=", "x!\n\ny", " (a)\r\n", "...\n\n\n", "def f(x):\n    return x + 1\n\n\nclass A:\n\tpass\n", "function f(a, b) {\n  return a ** b;\n}\n",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n", "<|endoftext|>", " <|endoftext|> ", "<|endoftext|><|endoftext|>x", "<|im_start|", "<|im_end|>>", "<<|im_end|>", "e<|im_end|>\u0301", "<|IM_END|>",
    "x" * 200, "ab" * 100, " " * 100 + "x", "\n" * 50, "=" * 80 + "\n", "0" * 70, "aAbB" * 30 + "\u00e9" * 40, "\u4f60" * 60, "'s" * 30,
]
BAD_BYTES = ["ff", "80", "c3", "c328", "e282", "e28228", "f09f98", "f09f9841", "eda080", "c080", "f4908080", "fe61ff", "61e262", "f0808080", "c3a9c3", "20ff20", "e1a0c0f1"]
DECODE = [[-1 & 0xFFFFFFFF], [4096, 99999], [4093, 4094, 4095], []]
MESSAGES = [[("user", "Hi")], [("system", "Be brief."), ("user", " Hi \n")], [("user", "a"), ("assistant", "b"), ("user", "c")],
            [("system", "s"), ("user", "a"), ("assistant", ""), ("system", "t"), ("user", "\u00e9 '\"{{ x }}{% y %}")], [("system", "")],
            [("user", "\u3000\u00a0\x1c trim me \x1f\u2003\u200b")]]


def section(name, tokenizer, texts):
    peer = tokenizers.Tokenizer.from_str(json.dumps(tokenizer))
    cases = []
    for text in texts:
        ids = peer.encode(text, add_special_tokens=False).ids
        case = {"text": text, "ids": ids}
        for key, skip in (("decoded", True), ("with_special", False)):  # only what differs from the text
            decoded = peer.decode(ids, skip_special_tokens=skip)
            if decoded != text:
                case[key] = decoded
        cases.append(case)
    changes = {key: tokenizer[key] for key in ("normalizer", "pre_tokenizer", "added_tokens")}
    return {"name": name, "ignore_merges": tokenizer["model"]["ignore_merges"], "changes": changes, "cases": cases}


def tokenizer_cases():
    path, rng = DEMO / "tokenizer.json", random.Random(20)
    demo = json.loads(path.read_text())
    peer = tokenizers.Tokenizer.from_file(str(path))
    texts = TEXTS + [random_text(rng, ["<|im_end|>"]) for _ in range(40)]
    sections = [section("as it is", demo, texts)]
    short = [t for t in TEXTS if len(t) <= 60]
    for name, tokenizer in variants(str(path)):
        contents = [t["content"] for t in tokenizer["added_tokens"]]
        sections.append(section(name, tokenizer, short + [random_text(rng, contents) for _ in range(60)]))
    bad = [{"hex": h, "ids": peer.encode(bytes.fromhex(h).decode("utf-8", "replace")).ids} for h in BAD_BYTES]
    ids = peer.encode("\U0001f999 caf\u00e9 \u4f60\u597d").ids
    parts = DECODE + [ids[i:j] for i in range(len(ids)) for j in range(i + 1, min(i + 3, len(ids)) + 1)]
    decode = [{"ids": p, "text": peer.decode(p), "with_special": peer.decode(p, skip_special_tokens=False)} for p in parts]
    return {"tokenizers": tokenizers.__version__, "sections": sections, "bad_bytes": bad, "decode": decode}


CHATML_LINE = "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
PROMPT = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
LLAMA3 = ("{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' %}"
          "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}")
LLAMA3_PROMPT = "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"


def templates():
    yield "chatml", json.loads((DEMO / "tokenizer_config.json").read_text())["chat_template"]
    yield "chatml", "{% for message in messages %}" + CHATML_LINE + "{% endfor %}" + PROMPT
    yield "chatml", ("{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}\n{% for message in messages %}\n"
                     + CHATML_LINE + "\n{%- endfor %}\n" + PROMPT + "\n")
    yield "chatml", "{%- for message in messages %}\n  {{- \"<|im_start|>\" + message.role }}\n  {{- \"\\n\" + message.content + \"<|im_end|>\\n\" }}\n{%- endfor %}\n{# end #}\n{%- if add_generation_prompt %}\n  {{- '<|im_start|>assistant\\n' }}\n{%- endif %}\n"
    yield "qwen2", ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
                    + CHATML_LINE + "{% endfor %}" + PROMPT)
    yield "llama3", LLAMA3 + "{% if add_generation_prompt %}" + LLAMA3_PROMPT + "{% endif %}"
    yield "llama3", LLAMA3 + LLAMA3_PROMPT


def renders(template):
    # As transformers renders: these two options, and the BOS of Llama 3.
    compiled = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(template)
    for messages in MESSAGES:
        listed = [{"role": r, "content": c} for r, c in messages]
        for prompt in (False, True):
            yield {"messages": listed, "prompt": prompt, "text": compiled.render(messages=listed, add_generation_prompt=prompt, bos_token="<|begin_of_text|>")}


def main():
    def write(name, value):
        (ROOT / "tests/data" / name).write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace('{"text"', '\n{"text"').replace('{"name"', '\n{"name"').replace('{"messages"', '\n{"messages"') + "\n")
    write("tokenizer_cases.json", tokenizer_cases())
    write("chat_cases.json", [{"name": n, "template": t, "renders": list(renders(t))} for n, t in templates()])


if __name__ == "__main__":
    main()
