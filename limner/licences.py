"""Under which licence the models that Limner knows by name are given away, as a dataset's card has to say."""

from __future__ import annotations

_EMBEDDED = "Apache-2.0"

_KNOWN = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "CreativeML Open RAIL-M",
    "stabilityai/stable-diffusion-xl-base-1.0": "CreativeML Open RAIL++-M",
    "diffusers/sdxl-instructpix2pix-768": "CreativeML Open RAIL++-M",
    "timbrooks/instruct-pix2pix": "MIT",
    "Salesforce/blip-itm-base-coco": "BSD-3-Clause",
    "Salesforce/blip-image-captioning-base": "BSD-3-Clause",
    "Salesforce/blip2-opt-2.7b": "MIT",
    "IDEA-Research/grounding-dino-tiny": "Apache-2.0",
    "google/owlv2-base-patch16-ensemble": "Apache-2.0",
    "facebook/sam-vit-base": "Apache-2.0",
    "facebook/sam-vit-huge": "Apache-2.0",
}


def licence(source: str) -> str:
    """The licence of the model at a source («embedded:clip», a hub id, a folder); "" where it is not known."""
    ours = source.startswith("embedded") or source == "rules"
    return _EMBEDDED if ours else _KNOWN.get(source, "")
