"""U-Net: Convolutional Networks for Biomedical Image Segmentation, Ronneberger et al., arXiv 1505.04597, Figure 1."""

import torch
from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512, 1024)


def two_convolutions(in_channels: int, out_channels: int, padding: int) -> nn.Sequential:
    """Return twice a 3x3 convolution and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=padding),
        nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, 3, padding=padding),
        nn.ReLU(),
    )


def crop_to(x: Tensor, size: torch.Size) -> Tensor:
    """Return the middle of `x` (B, C, H, W) in a smaller height and width."""
    top, left = (x.shape[2] - size[0]) // 2, (x.shape[3] - size[1]) // 2
    return x[:, :, top : top + size[0], left : left + size[1]]


class UNet(nn.Module):
    """A contracting path, an expanding path, and copies of the maps between them."""

    def __init__(self, *, channels: int, classes: int, padding: int) -> None:
        super().__init__()
        inputs = (channels, *WIDTHS)
        self.down = nn.ModuleList(two_convolutions(a, b, padding) for a, b in zip(inputs, WIDTHS, strict=False))
        pairs = list(zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in pairs)
        self.merge = nn.ModuleList(two_convolutions(a, b, padding) for a, b in pairs)
        self.pool = nn.MaxPool2d(2)
        self.classifier = nn.Conv2d(WIDTHS[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        copies: list[Tensor] = []
        for level, down in enumerate(self.down):
            x = down(self.pool(x) if level else x)
            copies.append(x)
        for up, merge, copy in zip(self.up, self.merge, copies[-2::-1], strict=True):
            x = up(x)
            x = merge(torch.cat([crop_to(copy, x.shape[2:]), x], dim=1))
        return self.classifier(x)


def unet(*, classes: int, channels: int = 1, padded: bool = False) -> UNet:
    """Return the U-Net: (B, channels, 572, 572) -> (B, classes, 388, 388); padded, multiples of 16 stay as they are."""
    return UNet(channels=channels, classes=classes, padding=int(padded))
