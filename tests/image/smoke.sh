#!/usr/bin/env bash
# Build Dockerfile.cuda for real, without a Docker engine, and run the CPU path inside it.
#
# Needs root, `buildah` and `debootstrap`. A bare Debian stands in for the CUDA base: what comes from NVIDIA's image
# (its runtime and labels) is not tested here. Arguments go to `buildah build`: volumes with a pip.conf, for example.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

for tool in buildah debootstrap; do
    command -v "$tool" >/dev/null || { echo "$tool is needed: apt-get install buildah debootstrap" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo 'debootstrap and chroot need root' >&2; exit 1; }

work=${FRAMEHAUL_IMAGE_DIR:-${TMPDIR:-/tmp}/framehaul-image}
mkdir -p "$work"
store=(--root "$work/store" --runroot "$work/run" --storage-driver "${STORAGE_DRIVER:-overlay}")
say() { printf '\n== %s (%d s) ==\n' "$1" "$SECONDS"; }

if ! buildah "${store[@]}" inspect --type image localhost/framehaul-base:1 >/dev/null 2>&1; then
    say 'a bare Debian'
    [ -f "$work/base/etc/os-release" ] || debootstrap --variant=minbase bookworm "$work/base" http://deb.debian.org/debian
    empty=$(buildah "${store[@]}" from scratch)
    buildah "${store[@]}" add --quiet "$empty" "$work/base" /
    buildah "${store[@]}" config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$empty"
    buildah "${store[@]}" commit --quiet --rm "$empty" localhost/framehaul-base:1
fi

say 'the image'
buildah "${store[@]}" build --layers --format docker --isolation chroot "$@" \
    --build-arg CUDA_BASE=localhost/framehaul-base:1 --file Dockerfile.cuda --tag framehaul-worker .

worker=$(buildah "${store[@]}" from localhost/framehaul-worker)
trap 'buildah "${store[@]}" rm "$worker" >/dev/null' EXIT
inside() { buildah "${store[@]}" run --isolation chroot "$worker" -- "$@"; }

say 'inside: not root, all parts there'
[ "$(inside id -u)" != 0 ]
inside runner doctor
[ -n "$(inside find /opt/framehaul/cubins -name '*.cubin')" ]

say 'inside: a video restored on the CPU'
inside runner demo /tmp/demo --quiet

say 'size'
buildah "${store[@]}" images localhost/framehaul-worker
