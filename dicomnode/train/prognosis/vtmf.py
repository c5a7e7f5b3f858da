"""The paper's loss, VTMF = IMIMA + 0.84 SDM + 0.45 MLM, and the cross-entropy that it leaves out.

Nothing in VTMF knows of the head that judges: taken literally that learns nothing. So L = CE + 0.1 VTMF.
Products are those of vectors of length 1, divided by a temperature: the exponentials of the paper overflow.
References: ICHPro (arXiv 2402.11307), equations 6 to 9; IRRA (Jiang and Ye, CVPR 2023) for SDM.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy, normalize

from dicomnode.zoo.prognosis.fusion import Told

ALPHA, BETA, SHARE = 0.84, 0.45, 0.1
TAU, SDM_TAU, EPSILON = 0.07, 0.02, 1e-8


def vtmf(imima: torch.Tensor, sdm: torch.Tensor, mlm: torch.Tensor) -> torch.Tensor:
    """The three parts together."""
    return imima + ALPHA * sdm + BETA * mlm


def info_nce(a: torch.Tensor, b: torch.Tensor, tau: float = TAU) -> torch.Tensor:
    """Each row of A finds its own among the rows of B; (cases, width) both."""
    likeness = normalize(a, dim=1) @ normalize(b, dim=1).T / tau
    return cross_entropy(likeness, torch.arange(len(a), device=a.device))


def imima_of(told: Told) -> torch.Tensor:
    """Within and between the channels; the positive within one is its second view by dropout."""
    if int(told.seen.sum()) < 2:
        return info_nce(told.text[0], told.text[1])
    vision, text = told.vision[:, told.seen], told.text[:, told.seen]
    pairs = ((vision[0], vision[1]), (text[0], vision[0]), (vision[0], text[0]))
    return info_nce(told.text[0], told.text[1]) + torch.stack([info_nce(a, b) for a, b in pairs]).sum()


def sdm_of(vision: torch.Tensor, text: torch.Tensor, label: torch.Tensor, tau: float = SDM_TAU) -> torch.Tensor:
    """Likenesses of the channels against sameness of the outcome, both directions.

    Parameters
    ----------
    vision, text : (cases, width). label : (cases,) who has the same one is alike.
    """
    likeness = normalize(vision, dim=1) @ normalize(text, dim=1).T / tau
    same = (label[:, None] == label[None]).float()
    wanted = same / same.sum(dim=1, keepdim=True)
    return _divergence(likeness, wanted) + _divergence(likeness.T, wanted)


def _divergence(likeness: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    p = likeness.softmax(dim=1)
    return (p * (likeness.log_softmax(dim=1) - (wanted + EPSILON).log())).sum(dim=1).mean()
