#!/usr/bin/env bash
# The lines that made the shipped weights, in order, on 2 cores with AVX512-BF16 (docs/LOG.md has the times, the curves
# and what did not work). Every recipe resumes from its --out folder: run a line again with more --minutes to go on.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0 OMP_NUM_THREADS=1
one() { torchrun --nproc_per_node 1 -m "$@"; }
two() { torchrun --nproc_per_node 2 -m "$@"; }

limner world fetch
python -m limner.train.tokenizer --out runs/tokenizer
two limner.train.autoencoder --out runs/vae --minutes 16
one limner.train.autoencoder --out runs/vae --minutes 32 --rate 0.4
one limner.train.clip --tokenizer runs/tokenizer --out runs/clip --minutes 16
one limner.train.judge --out runs/judge --minutes 10
two limner.train.text_to_image --autoencoder runs/vae/model --clip runs/clip/model --out runs/unet \
    --minutes 91 --single-until 0.45 --single 0.32 --log-snr -0.4  # and a quarter of the tintable things tinted
one limner.train.clip --tokenizer runs/tokenizer --out runs/clip --minutes 38
python -m limner.train.ship --unet runs/unet/model --clip runs/clip/model --judge runs/judge

# The second day, from the shipped weights on. The first line was stopped by hand at minute 33 of a budget of 95.
W=limner/world/weights
two limner.train.text_to_image --weights $W/stable-diffusion --autoencoder $W/stable-diffusion/vae --clip $W/clip \
    --out runs/unet-2 --single-until -1 --rate 0.8 --decay 0.6 --log-snr -0.4 --minutes 95
two limner.train.text_to_image --weights $W/stable-diffusion --autoencoder $W/stable-diffusion/vae --clip $W/clip \
    --out runs/unet-2 --single-until -1 --rate 0.8 --decay 0.6 --minutes 84
one limner.train.text_to_image --weights $W/stable-diffusion --autoencoder $W/stable-diffusion/vae --clip $W/clip \
    --out runs/unet-2 --single-until -1 --single 0.6 --log-snr -0.6 --rate 0.5 --decay 0.2 --minutes 105
two limner.train.clip --tokenizer $W/clip --weights $W/clip --out runs/clip-2 --rate 0.8 --minutes 20
python -m limner.train.ship --unet runs/unet-2/model --clip runs/clip-2/model
one limner.train.detector --out runs/detector --minutes 18
python -m limner.train.ship --detector runs/detector/model

# The third day, on AMX. The text-to-image model from the shipped weights, then its shapes; eyes; the editor from all of that.
two limner.train.text_to_image --weights $W/stable-diffusion --autoencoder $W/stable-diffusion/vae --clip $W/clip \
    --out runs/unet-3 --single-until -1 --single 0.42 --log-snr -1.1 --rate 0.8 --decay 0.7 --batch 72 --minutes 50
two limner.train.text_to_image --weights runs/unet-3/model --autoencoder $W/stable-diffusion/vae --clip $W/clip \
    --out runs/unet-4 --single-until -1 --single 0.6 --log-snr -0.6 --rate 0.6 --decay 0.8 --batch 72 --minutes 27
one limner.train.segmenter --out runs/segmenter --minutes 11
one limner.train.captioner --out runs/captioner --minutes 13
one limner.train.captioner --weights runs/captioner/model --out runs/captioner-2 --minutes 14
one limner.train.detector --weights $W/detector --rate 0.6 --out runs/detector-2 --minutes 10
python -m limner.train.ship --unet runs/unet-4/model --segmenter runs/segmenter/model \
    --captioner runs/captioner-2/model --detector runs/detector-2/model
two limner.train.editor --base $W/stable-diffusion --out runs/editor --rate 1.0 --decay 0.6 --log-snr -1.2 --batch 64 \
    --minutes 38
python -m limner.train.ship --editor runs/editor/model

# The fourth day. The editor and the captioner go on from the shipped weights; the dialogue model from scratch.
two limner.train.editor --base $W/stable-diffusion --weights $W/editor --out runs/editor-2 --rate 0.8 --decay 0.6 --log-snr -1.2 \
    --batch 64 --minutes 67
python -m limner.train.ship --editor runs/editor-2/model
one limner.train.captioner --weights $W/captioner --out runs/captioner-3 --minutes 22
one limner.train.captioner --weights runs/captioner-3/model --rate 0.5 --out runs/captioner-4 --minutes 11
python -m limner.train.ship --captioner runs/captioner-4/model
one limner.train.dialogue --base small --out runs/dialogue --minutes 13
one limner.train.dialogue --base small --out runs/dialogue --minutes 27 # goes on where the line before ended
python -m limner.train.ship_dialogue --source runs/dialogue/model

# The fifth day. Autoencoder and judge go on with weather in two scenes of five; the latents of clear scenes stay.
one limner.train.autoencoder --weights $W/stable-diffusion/vae --rate 0.4 --minutes 36 --out runs/vae-2
one limner.train.judge --weights $W/judge --rate 0.6 --minutes 32 --out runs/judge-2
python -m limner.train.ship --autoencoder runs/vae-2/model --judge runs/judge-2

# The sixth day. Heads that score pictures, and the writer of prompts, by examples only: 1,200 steps, then 1,200 more on the same state.
python -m limner.train.taste --out runs/taste --ship
python -m limner.train.writer.run --stage sft --steps 1200 --minutes 600 --out runs/writer
python -m limner.train.writer.run --stage sft --steps 2400 --minutes 600 --rows 80000 --out runs/writer
python -m limner.train.ship_writer --source runs/writer/sft/model

# The seventh day, in float32 on AVX2. The dialogue model anew, larger; until minute 35 its rate did not fall.
one limner.train.dialogue --base small --out runs/dialogue-2 --minutes 112 --decay 0.68
python -m limner.train.ship_dialogue --source runs/dialogue-2/model

# The eighth day, on the same machine. The dialogue model goes on from the shipped one, with strange words; from minute 21 on also with
# answers three times (before, --dialogues was 200000).
one limner.train.dialogue --base small --weights $W/dialogue --rate 0.5 --decay 1 --dialogues 150000 --out runs/dialogue-3 --minutes 100
python -m limner.train.ship_dialogue --source runs/dialogue-3/model

# The tenth day, after rain and snow had become what the latents can hold. CLIP was trained on, too, and thrown away (docs/LOG.md).
one limner.train.judge --weights $W/judge --rate 0.6 --minutes 17 --out runs/judge-3
python -m limner.train.ship --judge runs/judge-3
two limner.train.editor --base $W/stable-diffusion --weights $W/editor --rate 0.8 --decay 0.65 --log-snr -1.2 \
    --batch 64 --minutes 64 --out runs/editor-3
python -m limner.train.ship --editor runs/editor-3/model

# The twelfth day. The text-to-image model on the new weather, with captions that are a style alone; the editor on top of it.
two limner.train.text_to_image --weights $W/stable-diffusion --autoencoder $W/stable-diffusion/vae --clip $W/clip \
    --out runs/unet-5 --single-until -1 --single 0.45 --log-snr -0.3 --rate 0.6 --decay 0.8 --batch 72 --minutes 42
python -m limner.train.ship --unet runs/unet-5/model
two limner.train.editor --base $W/stable-diffusion --weights $W/editor --rate 0.8 --decay 0.8 --log-snr -1.0 \
    --batch 64 --minutes 37 --out runs/editor-4
python -m limner.train.ship --editor runs/editor-4/model
