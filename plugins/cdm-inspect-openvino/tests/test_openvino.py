import numpy as np
import pytest
import torch
from cdm_inspect_openvino import OFFER

from cdm_inspect.errors import ExportError
from cdm_inspect.plugins import Registry
from cdm_inspect.testing import ExporterConformance
from cdm_inspect.testing.exporters import sample_graph, sample_images


class TestOpenVino(ExporterConformance):
    offer = OFFER


def test_in_bfloat16_it_says_nearly_what_the_graph_says(tmp_path):
    exporter, graph = OFFER.build(OFFER.options(precision="bf16")), sample_graph(3, 255)
    images = sample_images(3, 3, 255)
    files = exporter.export(graph, [images[:1]], tmp_path, any_size=True, metadata={"a": "b"})
    found = exporter.open(files)(images)
    with torch.inference_mode():
        expected = [values.numpy() for values in graph(torch.from_numpy(images))]
    scale = np.abs(expected[2]).max()
    assert np.abs(found.heatmap - expected[2]).max() <= exporter.tolerance * scale
    assert np.abs(found.score - expected[0]).max() <= exporter.tolerance * scale


def test_bfloat16_is_refused_where_photographs_have_more_bits(tmp_path):
    exporter, images = OFFER.build(OFFER.options(precision="bf16")), sample_images(1, 1, 4095)
    with pytest.raises(ExportError, match="eight bits"):
        exporter.export(sample_graph(1, 4095), [images], tmp_path, any_size=True, metadata={})


def test_the_installed_plugin_is_found():
    assert Registry().named(type(OFFER), "openvino") == OFFER


def test_a_graph_of_somebody_else_is_refused(tmp_path):
    import openvino
    from openvino import opset13

    image = opset13.parameter([1, 1, 4, 4])
    openvino.save_model(openvino.Model([opset13.relu(image)], [image]), tmp_path / "graph.xml")
    exporter = OFFER.build(OFFER.options())
    with pytest.raises(ExportError, match="without its metadata"):
        exporter.open([tmp_path / "graph.xml", tmp_path / "graph.bin"])
