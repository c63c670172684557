"""The nets are the book's, layer by layer, and a wrong name is told what is wrong with it."""

import json
from itertools import groupby

import pytest
import torch
from torch import nn

from suites.architectures import ARCHITECTURES, build, default_input_shape, find
from suites.architectures.googlenet import Inception
from suites.architectures.resnet import Residual
from suites.errors import DlhwError
from tests.support.runner import ROOT

TRUTH = ROOT.parent / "shared" / "data" / "truth.json"

# Zhang et al., Dive into Deep Learning, sections 6.6, 7.1 to 7.6: what each layer or block makes of one image.
LENET = [(1, 28, 28), (6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (400,), (120,), (84,), (10,)]
LENET_BN = [(6, 24, 24), (6, 12, 12), (16, 8, 8), (16, 4, 4), (256,), (120,), (84,), (10,)]
ALEXNET = [
    (96, 54, 54), (96, 26, 26), (256, 26, 26), (256, 12, 12), (384, 12, 12), (256, 12, 12), (256, 5, 5), (6400,),
    (4096,), (10,),
]  # fmt: skip
VGG11 = [(64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14), (512, 7, 7), (25088,), (4096,), (10,)]
NIN = [
    (96, 54, 54), (96, 26, 26), (256, 26, 26), (256, 12, 12), (384, 12, 12), (384, 5, 5), (10, 5, 5), (10, 1, 1),
    (10,),
]  # fmt: skip
GOOGLENET = [(64, 24, 24), (192, 12, 12), (480, 6, 6), (832, 3, 3), (1024,), (10,)]
RESNET18_224 = [(64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7), (512, 1, 1), (512,), (10,)]
RESNET18_96 = [(64, 24, 24), (128, 12, 12), (256, 6, 6), (512, 3, 3), (512, 1, 1), (512,), (10,)]


def on_meta(name):
    with torch.device("meta"):
        return build(name)


def shapes(net, input_shape):
    """Shape of one image's values after each layer; layers that keep it are left out."""
    x, found = torch.empty(2, *input_shape, device="meta"), []
    for layer in net:
        x = layer(x)
        assert len(x) == 2
        found.append(tuple(x.shape[1:]))
    return [shape for shape, _ in groupby(found)]


@pytest.mark.parametrize(
    ("name", "input_shape", "expected"),
    [
        ("lenet", (1, 28, 28), LENET),
        ("lenet_bn", (1, 28, 28), LENET_BN),
        ("alexnet", (1, 224, 224), ALEXNET),
        ("vgg11", (1, 224, 224), VGG11),
        ("nin", (1, 224, 224), NIN),
        ("googlenet", (1, 96, 96), GOOGLENET),
        ("resnet18", (1, 224, 224), RESNET18_224),
        ("resnet18", (1, 96, 96), RESNET18_96),
    ],
)
def test_layers_have_the_shapes_of_the_book(name, input_shape, expected):
    assert shapes(on_meta(name), input_shape) == expected


# LeNet also by the arithmetic of its layers.
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("lenet", 6 * 26 + 16 * 151 + 120 * 401 + 84 * 121 + 10 * 85),
        ("lenet", 61_706),
        ("lenet_bn", 44_878),
        ("alexnet", 46_764_746),
        ("vgg11", 128_806_154),
        ("nin", 1_992_166),
        ("googlenet", 5_977_530),
        ("resnet18", 11_178_378),
        ("resnet18_inplace", 11_178_378),
    ],
)
def test_number_of_parameters(name, parameters):
    assert sum(parameter.numel() for parameter in on_meta(name).parameters()) == parameters


def test_parameters_equal_the_shared_truth():
    if not TRUTH.exists():
        pytest.skip("the shared truth.json is not here")
    truth = json.loads(TRUTH.read_text())
    nets = {name: facts for name, facts in truth.items() if "@" not in name}
    assert nets.keys() >= ARCHITECTURES.keys() - {"resnet18_inplace"}, "which is resnet18, computed otherwise"
    for name, facts in nets.items():
        assert sum(parameter.numel() for parameter in on_meta(name).parameters()) == facts["parameters"], name
        assert default_input_shape(name) == tuple(facts["input_shape"]), name


def test_a_residual_block_adds_its_input():
    block = Residual(3, 3).eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.randn(2, 3, 5, 5)
    assert torch.equal(block(x), x.relu())


def test_a_residual_block_projects_its_shortcut_where_the_shape_changes():
    block = Residual(3, 8, use_1x1conv=True, stride=2).eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.randn(2, 3, 6, 6)
    assert torch.equal(block(x), block.conv3(x).relu())


def test_in_place_the_result_is_the_same_and_the_inputs_are_gone():
    torch.manual_seed(1)
    plain = build("resnet18").eval()
    inplace = build("resnet18_inplace").eval()
    inplace.load_state_dict(plain.state_dict())
    x = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(plain(x), inplace(x))
    relus = [module for module in inplace.modules() if isinstance(module, nn.ReLU)]
    blocks = [module for module in inplace.modules() if isinstance(module, Residual)]
    assert all(module.inplace for module in (*relus, *blocks))
    assert (len(relus), len(blocks)) == (1, 8)


def test_inception_joins_its_paths_in_order():
    block = Inception(3, 1, (2, 2), (3, 3), 4)
    x = torch.randn(2, 3, 6, 6)
    y = block(x)
    assert y.shape == (2, 10, 6, 6)
    torch.testing.assert_close(y[:, :1], block.p1_1(x).relu())
    torch.testing.assert_close(y[:, 6:], block.p4_2(block.p4_1(x)).relu())


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "nin"])
def test_nets_with_dropout_halve_at_random(name):
    assert {module.p for module in on_meta(name).modules() if isinstance(module, nn.Dropout)} == {0.5}


@pytest.mark.parametrize(("name", "size"), [("googlenet", 224), ("nin", 96), ("resnet18", 32), ("vgg11", 240)])
def test_sizes_that_a_net_allows(name, size):
    assert on_meta(name)(torch.empty(2, 1, size, size, device="meta")).shape == (2, 10)


@pytest.mark.parametrize(("name", "size"), [("alexnet", 227), ("vgg11", 96), ("lenet", 32), ("lenet_bn", 32)])
def test_sizes_that_a_net_does_not_allow(name, size):
    with pytest.raises(RuntimeError):
        on_meta(name)(torch.empty(2, 1, size, size, device="meta"))


def test_shape_of_an_image():
    assert default_input_shape("lenet") == (1, 28, 28)
    assert default_input_shape("torchvision:resnet50") == (3, 224, 224)
    assert default_input_shape("my.nets:small") is None


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_torchvisions_auxiliary_heads_are_left_out(name):
    net = on_meta(f"torchvision:{name}").train()
    assert net(torch.empty(2, 3, 299, 299, device="meta")).shape == (2, 1000)


@pytest.mark.parametrize("use", [build, find])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torchvision:resnet19", "torchvision has no model of that name (did you mean 'resnet18'?)"),
        ("torchvision:zzz", "torchvision has no model of that name"),
        ("torchvision:fcn_resnet", "torchvision has no model of that name (did you mean 'fcn_resnet50'?)"),
        ("torchvision:raft_small", "optical flow takes two images; make it a net of your own, with inputs"),
        ("no_such_module:net", "architecture 'no_such_module:net': No module named 'no_such_module'"),
        ("own:missing", "architecture 'own:missing': module 'own' has no attribute 'missing'"),
        ("own:SIZE", "architecture 'own:SIZE': own:SIZE is not callable"),
        ("broken:net", "architecture 'broken:net': division by zero"),
        ("misspelt:net", "architecture 'misspelt:net': "),
    ],
)
def test_a_name_that_leads_nowhere_says_why(tmp_path, monkeypatch, use, name, words):
    (tmp_path / "own.py").write_text("SIZE = 8\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "misspelt.py").write_text("def net(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DlhwError) as caught:
        use(name)
    assert words in str(caught.value)
    assert ("did you mean" in words) == ("did you mean" in str(caught.value))


def test_a_net_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "nets.py").write_text(
        "from torch import nn\nsmall = lambda: nn.Linear(2, 3)\nsize = lambda: 3\nLayer = nn.ReLU\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert build("package.nets:small").weight.shape == (3, 2)
    assert isinstance(build("package.nets:Layer"), nn.ReLU)
    find("package.nets:size")
    with pytest.raises(DlhwError, match=r"'package\.nets:size': the builder returned int, not an nn\.Module"):
        build("package.nets:size")
