"""Compare the encoder with ONNX Runtime and OpenVINO: texts per second, vectors, and what it costs in F1.

    pip install --target /tmp/backends onnx onnxscript onnxruntime openvino
    PYTHONPATH=/tmp/backends python bench/backends.py ../shared/data/banking77.csv.gz ... --seeds 0,1,2

TopicAssign itself needs none of these packages. All ways get the same batches from `Encoder`; only the forward
pass differs. Speed: the texts of the first data set, all ways in turn, several rounds, quickest round. F1: random
order, light updates, all rows not yet reviewed, as in bench/learning.py; `--seeds ''` leaves it out.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from finetune.engine import Encoder
from finetune.engine.simulate import dataset_features, load_dataset, simulate_features

Forward = Callable[[dict[str, np.ndarray]], np.ndarray]  # what the model reads -> (n, length, n_features)


class Other(Encoder):
    """The encoder with the forward pass of another backend; mean over the tokens, as the model asks."""

    backend = ""
    run: Forward

    @property
    def key(self) -> str:
        return f"{self.name}/{self.version}/{self.backend}"

    def _forward(self, batch: list[list[int]]) -> np.ndarray:
        features = {name: value.cpu().numpy() for name, value in self.pad(batch).items()}
        mask = features["attention_mask"][:, :, None].astype(np.float32)
        vectors = (self.run(features) * mask).sum(axis=1) / np.maximum(mask.sum(axis=1), 1)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def other(plain: Encoder, backend: str, run: Forward) -> Other:
    made = Other(plain.model, name=plain.name, version=plain.version, use_bfloat16=False)
    made.backend, made.run = backend, run
    return made


def export(encoder: Encoder, folder: Path) -> Path:
    """Write the network as ONNX; return the file."""
    import torch

    network = encoder.model[0].auto_model.float().eval()
    network.set_attn_implementation("eager")
    network.config.return_dict = False
    example = {name: value.cpu() for name, value in encoder.pad([[101, 2023, 102], [101, 102]]).items()}
    file = folder / "float32.onnx"
    rows, length = torch.export.Dim("rows", min=1), torch.export.Dim("length", min=2, max=512)
    torch.onnx.export(
        network, (), file, kwargs=example, dynamo=True, external_data=False, input_names=list(example),
        dynamic_shapes={name: {0: rows, 1: length} for name in example},
    )  # fmt: skip
    return file


def onnx_session(file: Path, threads: int) -> Forward:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    names = {one.name for one in session.get_inputs()}
    return lambda features: session.run(None, {n: v for n, v in features.items() if n in names})[0]


def openvino_model(file: Path, threads: int, precision: str) -> Forward:
    import openvino

    compiled = openvino.Core().compile_model(
        str(file), "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision}
    )
    names = {one.get_any_name() for one in compiled.inputs}
    return lambda features: compiled({n: v for n, v in features.items() if n in names})[0]


def backends(threads: int, folder: Path) -> dict[str, Encoder]:
    plain = Encoder.load()
    file = export(Encoder.load(), folder)
    from onnxruntime.quantization import QuantType, quantize_dynamic

    small = folder / "int8.onnx"
    quantize_dynamic(file, small, weight_type=QuantType.QInt8)
    megabytes = {one.name: one.stat().st_size / 2**20 for one in (file, small)}
    print(f"files: {', '.join(f'{name} {size:.0f} MB' for name, size in megabytes.items())}\n")
    return {
        f"PyTorch, {'bfloat16' if plain.use_bfloat16 else 'float32'}": plain,
        "PyTorch, float32": other(plain, "torch", torch_float32(Encoder.load())),
        "ONNX Runtime, float32": other(plain, "onnx-f32", onnx_session(file, threads)),
        "ONNX Runtime, int8": other(plain, "onnx-int8", onnx_session(small, threads)),
        "OpenVINO, float32": other(plain, "openvino-f32", openvino_model(file, threads, "f32")),
        "OpenVINO, bfloat16": other(plain, "openvino-bf16", openvino_model(file, threads, "bf16")),
    }


def torch_float32(encoder: Encoder) -> Forward:
    import torch

    network = encoder.model[0].auto_model
    network.set_attn_implementation("sdpa")

    def run(features: dict[str, np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            return network(**{name: torch.from_numpy(value) for name, value in features.items()})[0].numpy()

    return run


def texts_per_second(encoders: dict[str, Encoder], texts: list[str], rounds: int) -> dict[str, float]:
    seconds = dict.fromkeys(encoders, float("inf"))
    for encoder in encoders.values():
        encoder.encode(texts[:100])
    for _ in range(rounds):
        for name, encoder in encoders.items():
            began = time.perf_counter()
            encoder.encode(texts)
            seconds[name] = min(seconds[name], time.perf_counter() - began)
    return {name: len(texts) / value for name, value in seconds.items()}


def f1_score(path: Path, encoder: Encoder, seed: int, n_reviews: int) -> float:
    dataset = load_dataset(path, seed)
    features = dataset_features(dataset, encoder)
    last = simulate_features(
        dataset, features, n_reviews=n_reviews, seed=seed, strategy="random", checkpoints=(n_reviews,),
        update_every=1_000, encoder=encoder,
    )[-1]  # fmt: skip
    return float(last["f1_micro"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", type=Path, nargs="+", help="CSV or CSV.GZ: text, topics; the first is timed")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--reviews", type=int, default=300)
    parser.add_argument("--texts", type=int, default=2_000, help="timed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()

    import torch

    torch.set_num_threads(options.threads)
    texts = list(dict.fromkeys(load_dataset(options.datasets[0], 0).texts))[: options.texts]
    with tempfile.TemporaryDirectory() as folder:
        encoders = backends(options.threads, Path(folder))
        first = next(iter(encoders.values()))
        exact = first.encode(texts)
        speed = texts_per_second(encoders, texts, options.rounds)
        seeds = [int(seed) for seed in options.seeds.split(",") if seed]
        names = [path.name.split(".")[0] for path in options.datasets] if seeds else []
        print("| backend | texts per s | ratio | lowest cosine |" + "".join(f" F1 {name} |" for name in names))
        print("|---|---|---|---|" + "---|" * len(names))
        for name, encoder in encoders.items():
            cosine = float((exact * encoder.encode(texts)).sum(axis=1).min())
            scores = []
            for path in options.datasets if seeds else []:
                scores.append(np.mean([f1_score(path, encoder, seed, options.reviews) for seed in seeds]))
            ratio = speed[name] / speed[next(iter(encoders))]
            cells = "".join(f" {score:.3f} |" for score in scores)
            print(f"| {name} | {speed[name]:,.0f} | {ratio:.2f} | {cosine:.4f} |{cells}", flush=True)


if __name__ == "__main__":
    main()
