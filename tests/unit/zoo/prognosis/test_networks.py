"""The parts of ICHPro: shapes, hand-computed values, published sizes."""

from __future__ import annotations

import math

import pytest
import torch
from monai.networks.nets import DenseNet121

from dicomnode.zoo.networks.score_cam import score_cam
from dicomnode.zoo.prognosis.attention import CrossAttentionFusion, Pairing, soft_pool
from dicomnode.zoo.prognosis.bert import QUESTIONS, SmallBert
from dicomnode.zoo.prognosis.bleed import FACTS
from dicomnode.zoo.prognosis.fusion import PAPER, FusionSize, PrognosisFusion, Told, Way, pooled_text
from dicomnode.zoo.prognosis.paper import PaperPrognosis, vision_encoder
from dicomnode.zoo.prognosis.reconstruct import TextReconstruction, VisionReconstruction
from dicomnode.zoo.prognosis.words import END, LENGTH, PAD, START, UNKNOWN, vocabulary_of


def millions(network: torch.nn.Module) -> float:
    return sum(one.numel() for one in network.parameters()) / 1e6


def case(patients: int = 3, features: int = 10, variables: int = 33) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    return (
        torch.randn(patients, features),
        torch.randn(patients, len(FACTS)),
        torch.randn(patients, variables),
        torch.randn(patients, LENGTH, 8),
    )


def test_soft_pool_weighs_each_value_by_its_exponential() -> None:
    values = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 1, 2, 2).repeat(1, 1, 2, 1, 1)
    by_hand = sum(v * math.exp(v) for v in (1, 2, 3, 4)) / sum(math.exp(v) for v in (1, 2, 3, 4))
    assert soft_pool(values).item() == pytest.approx(by_hand, abs=1e-5) == pytest.approx(3.4927, abs=1e-4)


def test_both_channels_are_rebuilt_in_one_shape() -> None:
    text = TextReconstruction(64, 16, 4)(torch.randn(2, 64, 8))
    vision = VisionReconstruction(10, 16)(torch.randn(2, 10, 1, 1, 1))
    assert text.shape == vision.shape == (2, 16, 4, 4, 4)


def test_text_is_rebuilt_from_the_products_of_its_tokens_alone() -> None:
    rebuild, text = TextReconstruction(64, 16, 4), torch.randn(1, 64, 8)
    turned = text @ torch.linalg.qr(torch.randn(8, 8))[0]  # a turn of the space changes no product
    assert torch.allclose(rebuild(text), rebuild(turned), atol=1e-4)


@pytest.mark.parametrize("pairing", list(Pairing))
def test_whose_values_a_query_gets_is_the_pairing(pairing: Pairing) -> None:
    torch.manual_seed(0)
    cross = CrossAttentionFusion(4, 3, pairing=pairing)
    x, y = torch.randn(1, 4, 2, 2, 2), torch.randn(1, 4, 2, 2, 2)
    with torch.no_grad():
        # without keys every place is alike: what is found is the mean of the values
        for conv in (cross.of_x, cross.of_y):
            conv.weight[3:6] = 0.0
            conv.bias[3:6] = 0.0
    own, other = (conv(one).chunk(3, 1)[2].mean(dim=(2, 3, 4)) for conv, one in ((cross.of_x, x), (cross.of_y, y)))
    asked = own if pairing is Pairing.PAPER else other
    found = cross.back_x(asked[..., None, None, None])[..., 0, 0, 0]
    told = cross.tell_x(found + soft_pool(x)[..., 0, 0, 0]).softmax(dim=1) * 4
    assert torch.allclose(cross(x, y)[0][:, 0], told, atol=1e-5)


@pytest.mark.parametrize("way", list(Way))
def test_every_way_gives_a_number_for_each_patient_and_learns(way: Way) -> None:
    inputs = case()
    network = PrognosisFusion(10, len(FACTS), 33, 8, way=way)
    told = network(*inputs)
    assert isinstance(told, Told)
    told.logits.sum().backward()  # type: ignore[no-untyped-call]
    assert all(one.grad is not None for one in network.joint.parameters())
    assert network.eval()(*inputs).shape == (3,)


def test_a_text_is_pooled_to_its_first_vector_and_the_largest_of_each_number() -> None:
    text = torch.tensor([[[1.0, -2.0], [0.5, 3.0], [0.0, 0.0]]])
    assert pooled_text(text).tolist() == [[1.0, -2.0, 1.0, 3.0]]


def test_what_is_not_known_still_gives_a_number() -> None:
    network = PrognosisFusion(10, len(FACTS), 33, 8).eval()
    nothing = (*(torch.full_like(one, torch.nan) for one in case()[:3]), torch.zeros(3, LENGTH, 8))
    assert torch.isfinite(network(*nothing)).all()


def test_the_published_parts_have_their_published_sizes() -> None:
    with torch.device("meta"):
        assert millions(vision_encoder()) == pytest.approx(46.2, rel=0.02)
        fusion = PrognosisFusion(2048, len(FACTS), 33, PAPER.channels, size=PAPER)
        dense = DenseNet121(spatial_dims=1, in_channels=1, out_channels=2)
    assert millions(fusion.judge.dense) == pytest.approx(millions(dense), rel=0.02)
    assert 5.0 < millions(fusion) - millions(fusion.judge.dense) < 25.0


def test_the_published_size_learns_a_step_from_a_small_input() -> None:
    transformers = pytest.importorskip("transformers")
    tiny = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    size = FusionSize(channels=16, grid=8, scales=(2, 2, 2, 1), heads=4, blocks=(6, 12, 24, 16), growth=4, init=8)
    network = PaperPrognosis(transformers.BertModel(tiny), 33, size)
    told = network(torch.rand(2, 1, 8, 32, 32), torch.randint(1, 50, (2, LENGTH)), torch.rand(2, 6), torch.rand(2, 33))
    told.logits.square().sum().backward()
    assert float(network.vision.network.conv1.weight.grad.abs().sum()) > 0.0
    assert float(network.text.embeddings.word_embeddings.weight.grad.abs().sum()) > 0.0


def test_words_are_put_together_from_the_longest_pieces() -> None:
    vocabulary = vocabulary_of(["bleeding bleeding walking walking", "found found"], seen=2)
    pieces = [vocabulary.pieces[number] for number in vocabulary.of_word("bleeding")]
    assert pieces == ["bleeding"]
    assert [vocabulary.pieces[number] for number in vocabulary.of_word("fing")] == ["f", "##ing"]
    assert vocabulary.of_word("żle") == [UNKNOWN]
    row = vocabulary.encoded(["found"])[0].tolist()
    assert row == [START, vocabulary.pieces.index("found"), END, *[PAD] * (LENGTH - 3)]


def test_what_stands_behind_the_end_of_a_text_changes_nothing() -> None:
    reader, short = SmallBert(20).eval(), torch.tensor([[2, 7, 3, 0, 0]])
    with torch.inference_mode():
        read = reader(short)
        assert torch.allclose(read[:, : QUESTIONS + 3], reader(short[:, :3]), atol=1e-5)
        assert float(read[:, QUESTIONS + 3 :].abs().sum()) == 0.0


def test_answers_to_questions_are_made_of_the_words_of_a_text() -> None:
    torch.manual_seed(0)
    reader = SmallBert(20).eval()
    with torch.inference_mode():
        (read,) = reader(torch.tensor([[2, 7, 9, 3, 0]]))
    answers, words = read[:QUESTIONS], read[QUESTIONS : QUESTIONS + 4]
    assert bool((answers <= words.amax(dim=0) + 1e-5).all())
    assert bool((answers >= words.amin(dim=0) - 1e-5).all())


def test_each_answer_is_a_token_of_its_own() -> None:
    torch.manual_seed(0)
    features, facts, variables, text = case()
    network = PrognosisFusion(10, len(FACTS), 33, 8, answers=2).eval()
    with_answers = torch.cat([torch.randn(3, 2, 8), text], dim=1)
    changed = with_answers.clone()
    changed[0, 1] += 3.0
    with torch.inference_mode():
        told, then = (network(features, facts, variables, one) for one in (with_answers, changed))
    assert float((told - then).abs()[0]) > 1e-4
    assert torch.allclose(told[1:], then[1:], atol=1e-5)


def test_score_cam_finds_the_corner_that_a_score_comes_from() -> None:
    image, activation = torch.ones(8, 8, 8), torch.zeros(2, 2, 2, 2)
    activation[0, 0, 0, 0] = activation[1, 1, 1, 1] = 1.0
    seen = score_cam(image, activation, 0.0, lambda part: 50.0 * part[:, 0, :2, :2, :2].mean(dim=(1, 2, 3)))
    assert seen.argmax() == 0
    assert float(seen[:4, :4, :4].sum()) > 0.6 * float(seen.sum())
