#!/bin/sh
# Repeats the training of the bundled checkpoint; see docs/checkpoint.md.
#   sh checkpoints/train_world.sh DATA OUT
# DATA   folder that checkpoints/world.yaml describes: FaceForensics++ videos with their split
#        lists, and collections of face crops
# OUT    folder for prepared frames and stages; an interrupted run goes on
set -eu
data=$1 out=$2
cd "$(dirname "$0")/.."
mkdir -p "$out"

# The start: the six stages on the DFDC alone.
start="$out/lite0/caddm-lite0"
if [ ! -e "$start/model.safetensors" ]; then
    [ -e "$out/parts/validation.parquet" ] ||
        python data_scripts/split_by_source.py "$data/dfdc_faces" --out "$out/parts"
    sh checkpoints/train_lite0.sh "$data/dfdc_faces" "$out/parts" "$data/ffhq_faces" \
        "$data/lfw_identities" "$out/lite0"
fi

# Everything the recipe names lies below one folder.
mkdir -p "$out/sources"
for source in "$data"/*; do
    ln -sfn "$(realpath "$source")" "$out/sources/"
done
for compression in c23 c40; do
    [ "$compression" = c23 ] && frames=20 || frames=32
    [ -e "$out/sources/faceforensics-$compression/manifest.json" ] ||
        python data_scripts/build_frame_dataset.py faceforensics --root "$data/FaceForensics++" \
            --compressions "$compression" --frames "$frames" \
            --out "$out/sources/faceforensics-$compression"
done
[ -e "$out/world/calibrate.parquet" ] ||
    python data_scripts/join_collections.py checkpoints/world.yaml --root "$out/sources" \
        --out "$out/world"

# One thread: a second one makes a step hardly faster and changes the last digits. What is published
# are weights of which 30% are those of the start.
OMP_NUM_THREADS=1 python train_accelerate.py --data "$out/world" \
    --validation_data "$out/world/choose.parquet" --cache_dir "$out/points" \
    --output_dir "$out/caddm-lite0" --initial_model "$start" --initial_share 0.3 \
    --backbone tf_efficientnet_lite0 --artifact_width 192 --frozen_stages 4 \
    --image_size 224 --align_scale 1.25 --eye_height 0.33 --jitter_strength 0.5 \
    --degradation_strength 0.4 --h264_share 0.4 --h264_mildest 20 --h264_strongest 40 \
    --shrink_share 0.5 --retouch_share 0.15 --paired_batches --genuine_negatives \
    --partial_share 0.35 --rendered_share 0.4 \
    --fake_share 6 --self_blend_share 5 --cross_blend_share 1 \
    --dataset_shares "DFDC=4,Celeb-DF v2=2,FaceForensics++ crops=1.5,FaceForensics++ c23=3,FaceForensics++ c40=0.5,DeepFaceLive=1,FFHQ=1,LFW=1" \
    --batch_size 32 --lr_scheduler_type cosine --learning_rate 4e-4 --warmup_steps 100 \
    --max_steps 2200 --stop_after_steps 1000 --ema_decay 0.995 --eval_steps 550 --save_steps 100 \
    --seed 71 --weights_precision half --use_cpu --resume_from_checkpoint latest

python -m caddm_hf calibrate --model "$out/caddm-lite0" --data "$out/world/calibrate.parquet" \
    --split train --by-domain --prior 0.5 --false-positive-rate 0.02 0.01 0.05 0.1 --miss-rate 0.1 \
    --output "$out/calibration" --update-card
