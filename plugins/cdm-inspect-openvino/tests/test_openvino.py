import pytest
from cdm_inspect_openvino import OFFER

from cdm_inspect.errors import ExportError
from cdm_inspect.hooks import Registry
from cdm_inspect.hooks.conformance import ExporterConformance


class TestOpenVino(ExporterConformance):
    offer = OFFER


class TestOpenVinoInHalfPrecision(ExporterConformance):
    offer = OFFER
    options = {"precision": "bf16"}


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
