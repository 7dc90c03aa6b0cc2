#!/bin/sh
# Runs docs/slurm/explore.sbatch under a real slurmctld and slurmd on this machine, as one node without authentication, and
# holds the merged results against one run over all seeds. Run it as root in the checkout; it needs Debian's packages slurmctld,
# slurmd and slurm-client, and changes nothing outside of a temporary folder and the folder that it is given.
#   docs/slurm/try.sh /tmp/slurm-results
set -eu
out=$(realpath -m "${1:?name a folder for the results}")
here=$(realpath "$(dirname "$0")")
tools=$(mktemp -d)
node=$(hostname -s)
mkdir -p "$out" "$tools/state" "$tools/spool"
stop() {
    for pid in "$tools"/*.pid; do
        [ -s "$pid" ] && kill "$(cat "$pid")" 2>/dev/null || true
    done
    sleep 1
    rm -rf "$tools"
}
trap stop EXIT
cat > "$tools/slurm.conf" <<END
ClusterName=try
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
StateSaveLocation=$tools/state
SlurmdSpoolDir=$tools/spool
SlurmctldPidFile=$tools/slurmctld.pid
SlurmdPidFile=$tools/slurmd.pid
SlurmctldLogFile=$out/slurmctld.log
SlurmdLogFile=$out/slurmd.log
NodeName=$node NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=4096 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
export SLURM_CONF="$tools/slurm.conf"
slurmctld
slurmd -N "$node"
cd "$here/../.."
export RESULTS="$out"
seeds="--seeds 0..12 --clock deterministic"
sbatch --wait --array=0-1 --mem=1G --time=00:20:00 --output="$out/task-%a.log" \
    "$here/explore.sbatch" $seeds
cargo rig merge "$out/0/results.jsonl" "$out/1/results.jsonl" --out "$out/merged.jsonl"
cargo rig explore $seeds --out "$out/whole"
cd "$out"
essence() { tail -n +2 "$1" | sed -E 's/.*"seed":([0-9]+),"verdict":"([a-z-]+)".*/\1 \2/' | sort -n; }
essence merged.jsonl > merged.txt
essence whole/results.jsonl > whole.txt
cmp merged.txt whole.txt
echo "the shards of $(wc -l < merged.txt) seeds merge to the verdicts of one run"
