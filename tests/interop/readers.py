"""Readers of quantized checkpoints, written from the formats' descriptions with numpy only; they share nothing with teeny.

Weights come back as float32 [out, in]. Sources: GPTQModel's and AutoAWQ's packing, bitsandbytes' int8_vectorwise_dequant.
"""
import json, pathlib
import numpy as np
from safetensors import safe_open

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # nibble i of a word holds column base + AWQ_ORDER[i]


def read_tensors(path):
    """All tensors of a directory's or file's safetensors as numpy arrays; bfloat16 is widened to float32."""
    path = pathlib.Path(path)
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    tensors, dtypes = {}, {}
    for file in files:
        tensors.update(read_file(file, dtypes))
    return tensors, dtypes


def read_file(file, dtypes):
    data = file.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    out = {}
    with safe_open(file, "numpy") as peer:  # the package's own strict validation of the container
        assert (peer.metadata() or {}).get("format") == "pt", "no format in __metadata__"
        for name in peer.keys():
            dtypes[name] = header[name]["dtype"]
            if dtypes[name] == "BF16":
                begin, end = header[name]["data_offsets"]
                raw = np.frombuffer(data[8 + size + begin:8 + size + end], "<u2").astype(np.uint32) << 16
                out[name] = raw.view(np.float32).reshape(header[name]["shape"])
            else:
                out[name] = peer.get_tensor(name)
    return out


def unpack_bits(words, bits):
    """int32 [words, n] -> codes [words*32/bits, n]: a bit stream along axis 0, least significant bit first."""
    words = np.ascontiguousarray(words).view(np.uint32)
    stream = (words[:, None, :] >> np.arange(32, dtype=np.uint32)[None, :, None]) & 1
    stream = stream.reshape(-1, words.shape[1])
    count = stream.shape[0] // bits
    stream = stream[:count * bits].reshape(count, bits, -1).astype(np.int32)
    return (stream << np.arange(bits, dtype=np.int32)[None, :, None]).sum(1)


def gptq_weight(tensors, name, bits, stored_offset):
    """W^T[k, n] = scales[g_idx[k], n] * (q[k, n] - z[g_idx[k], n]); v1 stores z - 1 (stored_offset 1), v2 z."""
    scales = tensors[name + ".scales"].astype(np.float32)
    columns, groups = tensors[name + ".g_idx"].shape[0], tensors[name + ".g_idx"]
    codes = unpack_bits(tensors[name + ".qweight"], bits)[:columns]
    zeros = unpack_bits(tensors[name + ".qzeros"].T, bits).T[:, :scales.shape[1]]
    zeros = (zeros + stored_offset) & (2 ** bits - 1) if stored_offset else zeros
    return np.ascontiguousarray((scales[groups] * (codes - zeros[groups]).astype(np.float32)).T)


def awq_codes(words):
    """int32 [rows, out/8] -> codes [rows, out]."""
    words = np.ascontiguousarray(words).view(np.uint32)
    codes = np.empty((words.shape[0], words.shape[1], 8), np.int32)
    for nibble, column in enumerate(AWQ_ORDER):
        codes[:, :, column] = (words >> np.uint32(4 * nibble)) & 15
    return codes.reshape(words.shape[0], -1)


def awq_weight(tensors, name):
    scales = tensors[name + ".scales"].astype(np.float32)
    codes, zeros = awq_codes(tensors[name + ".qweight"]), awq_codes(tensors[name + ".qzeros"])
    group = codes.shape[0] // scales.shape[0]
    difference = codes - np.repeat(zeros, group, 0)
    return np.ascontiguousarray((np.repeat(scales, group, 0) * difference.astype(np.float32)).T)


def compressed_weight(tensors, name, bits):
    """Signed codes plus 2^(bits-1) along in, one bit stream a row; zero points the same way along out."""
    scales = tensors[name + ".weight_scale"].astype(np.float32)
    rows, columns = (int(n) for n in tensors[name + ".weight_shape"])
    codes = unpack_bits(pad_words(tensors[name + ".weight_packed"].T, bits), bits)[:columns].T
    zeros = np.full(scales.shape, 2 ** (bits - 1), np.int32)
    if name + ".weight_zero_point" in tensors:
        zeros = unpack_bits(pad_words(tensors[name + ".weight_zero_point"], bits), bits)[:rows]
    group = columns // scales.shape[1]
    return np.repeat(scales, group, 1) * (codes - np.repeat(zeros, group, 1)).astype(np.float32)


def pad_words(words, bits):
    return np.pad(words, ((0, -words.shape[0] % bits), (0, 0)))


def compressed_int_weight(tensors, name):
    return tensors[name + ".weight"].astype(np.float32) * tensors[name + ".weight_scale"].astype(np.float32)


def bitsandbytes_weight(tensors, name):
    """int8_vectorwise_dequant: A * stats * 7.874015718698502e-3, in float32, in this order."""
    product = tensors[name + ".weight"].astype(np.float32) * tensors[name + ".SCB"][:, None]
    return product * np.float32(7.874015718698502e-3)


def bitsandbytes_codes(weight):
    """Codes and row maxima of LLM.int8 of a float32 weight, which is first cast to float16.

    int8_vectorwise_quant of the CPU, where torch computes 127.0 / absmax as the reciprocal times 127; also returns the
    places whose exact value lies halfway between two codes: there the order of the arithmetic decides.
    """
    half = weight.astype(np.float16)
    absmax = np.abs(half).max(1).astype(np.float32)
    safe = np.where(absmax == 0, np.float32(1), absmax)
    scale = np.float32(1) / safe * np.float32(127)
    exact = half.astype(np.float64) * 127 / safe[:, None].astype(np.float64)
    ties = np.abs(np.abs(exact - np.trunc(exact)) - 0.5) < 1e-5
    return np.rint(half.astype(np.float32) * scale[:, None]).astype(np.int8), absmax, ties


def linears(tensors, suffix):
    return sorted(name[:-len(suffix)] for name in tensors if name.endswith(suffix))
