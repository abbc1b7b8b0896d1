#!/usr/bin/env bash
# A sweep by a hundred jobs of a SLURM cluster that share one directory.
#
# Prepare the store once, where you log in (nothing is computed), then submit:
#
#   resmc sweep examples/growth.toml --store runs/growth --prepare
#   sbatch --array=0-99 examples/job_array.sh runs/growth
#
# The jobs need no numbers and no order: each computes whatever shard nobody else is at, and ends when all are there.
# Any number of them may start late, end early or be killed. To go on with a sweep that is not finished, submit the
# same again; to have more networks or points, prepare the longer plan into the same store and submit again.
#
#   resmc status runs/growth                            how far it is
#   resmc merge runs/growth                             the results as a table
#   resmc export runs/growth --output growth.nc         ... as a file
#
# GPUs: add --gres=gpu:1 to the sbatch line and set DEVICE=cuda. A job that is given several GPUs starts a worker for
# each: --gres=gpu:4 --ntasks-per-node=4; workers of one node agree on who takes which.
#
#SBATCH --job-name=resmc
#SBATCH --cpus-per-task=8
#SBATCH --mem-per-cpu=1G
#SBATCH --time=04:00:00
#SBATCH --output=resmc-%A-%a.log

# Preemption: SLURM sends SIGTERM before it kills. The worker then gives back what it had claimed and ends; the shard
# that it was at, about a second of work, is computed by another. --requeue puts the job back into the queue, and
# --signal lets the time limit end it in the same way, half a minute early.
#SBATCH --requeue
#SBATCH --signal=TERM@30

set -euo pipefail
store=${1:?usage: sbatch --array=0-99 job_array.sh STORE}

# As many shards at a time as the job has cores: that is what a worker does by itself. Since SLURM 22.05 srun has to be
# told of them again.
srun --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" resmc worker "$store" --device "${DEVICE:-cpu}"
