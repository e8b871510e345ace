#!/bin/bash
# A gate on two nodes of a Slurm cluster, one GPU each: sbatch slurm.sh. Edit the limits and the last command. docs/executors.md
# explains it. The working folder must be one that all nodes share; `tunegate` and `ray` must be on PATH on all of them.
#SBATCH --job-name=tunegate-gate
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --time=02:00:00
set -euo pipefail

port=6379
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 -w "$head" hostname --ip-address | awk '{print $1}'):$port

# Ray runs beside the job steps that start it, until the job ends; --block keeps each step alive.
srun --nodes=1 --ntasks=1 --overlap -w "$head" \
    ray start --head --disable-usage-stats --node-ip-address="${address%:*}" --port="$port" --num-cpus=8 --num-gpus=1 --block &
sleep 15
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
    srun --nodes="$((SLURM_JOB_NUM_NODES - 1))" --ntasks="$((SLURM_JOB_NUM_NODES - 1))" --overlap --exclude="$head" \
        ray start --address="$address" --num-cpus=8 --num-gpus=1 --block &
    sleep 15
fi

# This script runs on the first node, which is the head. The exit code of the job is the verdict.
tunegate gate models/candidate --suite suites/facts.yaml --executor "ray:$address"
