"""What is exported and judged at a station: bundle, parity, ONNX."""
