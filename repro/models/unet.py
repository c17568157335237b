"""U-Net: Convolutional Networks for Biomedical Image Segmentation, Ronneberger et al., arXiv 1505.04597, Figure 1.

The authors' phseg_v5-train.prototxt differs from the figure: it has a ReLU after each up-convolution, and 128 maps
from the last one. This is the figure's network.
"""

import torch
from torch import Tensor, nn

LEVELS = 5
DROPPED = (3, 4)
"""Levels of the contracting path that end in dropout: the last two, in the authors' phseg_v5-train.prototxt."""


def two_convolutions(in_channels: int, out_channels: int, padding: int) -> nn.Sequential:
    """Return two 3x3 convolutions, each with ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=padding),
        nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, 3, padding=padding),
        nn.ReLU(),
    )


def crop_to(x: Tensor, size: torch.Size) -> Tensor:
    """Return the centre of `x` (B, C, H, W), cropped to a smaller height and width."""
    top, left = (x.shape[2] - size[0]) // 2, (x.shape[3] - size[1]) // 2
    return x[:, :, top : top + size[0], left : left + size[1]]


class UNet(nn.Module):
    """The U-Net: (B, channels, 572, 572) -> (B, classes, 388, 388); a padded one keeps height and width.

    A contracting path, an expanding path, and copies of the maps between them.
    """

    def __init__(
        self, *, classes: int, channels: int = 1, base: int = 64, padded: bool = False, dropout: float = 0.0
    ) -> None:
        """Make the network; the paper's has base = 64 maps at the first level and no padding.

        Padded, sides must be multiples of 16.

        Raises:
            ValueError: base is below 1.
        """
        if base < 1:
            raise ValueError(f"base {base} is invalid: the first level has at least 1 map")
        super().__init__()
        padding = int(padded)
        widths = [base * 2**level for level in range(LEVELS)]
        inputs = (channels, *widths)
        self.down = nn.ModuleList(two_convolutions(a, b, padding) for a, b in zip(inputs, widths, strict=False))
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in pairs)
        self.merge = nn.ModuleList(two_convolutions(a, b, padding) for a, b in pairs)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(base, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        copies: list[Tensor] = []
        for level, down in enumerate(self.down):
            x = down(self.pool(x) if level else x)
            if level in DROPPED:  # before the copy of level 3, as in the authors' file
                x = self.dropout(x)
            copies.append(x)
        for up, merge, copy in zip(self.up, self.merge, copies[-2::-1], strict=True):
            x = up(x)
            x = merge(torch.cat([crop_to(copy, x.shape[2:]), x], dim=1))
        return self.classifier(x)
