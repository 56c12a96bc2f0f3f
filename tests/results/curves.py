"""Published learning curves that statistics are tested on."""

import numpy as np

# CIFAR-100, ResNet-18 fine-tuned from ImageNet: images per class and error in % of each run
# (Hoiem et al., Learning Curves for Analysis of Deep Networks, ICML 2021).
PUBLISHED = {
    25: [42.91, 40.49, 42.38, 47.90, 46.75, 47.40, 44.30, 45.67, 46.62, 42.71],
    50: [32.35, 32.77, 32.17, 31.63, 32.60, 32.73, 32.57, 31.93],
    100: [26.37, 26.43, 26.47, 26.37],
    200: [21.72, 22.48],
    400: [18.88],
}


def published(*sizes, per=1):
    pairs = [(per * size, error) for size in sizes for error in PUBLISHED[size]]
    return np.array([size for size, _ in pairs]), np.array([error for _, error in pairs])
