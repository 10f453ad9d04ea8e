"""Model files in and out: safetensors, torch.export and ONNX; never a pickle."""
