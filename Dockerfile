# SPDX-License-Identifier: Apache-2.0
#
# mcdtest, the compiled suite, the Ginkgo CLI and Debian's QEMU in one image that needs no network and no root.
#
#   docker build -t mcdtest .
#   docker run --rm --network none -v "$PWD/artifacts:/artifacts" mcdtest
#   docker run --rm -v "$HOME/qemu/build:/qemu" -v "$PWD/artifacts:/artifacts" mcdtest gate --base /usr/bin --head /qemu
#
# The folder that is mounted on /artifacts has to be writable for the user 10001, or add --user "$(id -u)".

ARG GO_IMAGE=golang:1.26-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${GO_IMAGE} AS build
# Where modules come from, for builders without the public proxy.
ARG GOPROXY
ENV PATH=/usr/local/go/bin:$PATH CGO_ENABLED=0
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN go build -trimpath -buildvcs=false -o /out/bin/ ./cmd/mcdtest github.com/onsi/ginkgo/v2/ginkgo && \
    mkdir -p /out/lib/mcdtest && \
    /out/bin/ginkgo build --trimpath ./suites && mv suites/suites.test /out/lib/mcdtest/

FROM ${RUNTIME_IMAGE}
COPY scripts/need /usr/local/lib/mcdtest/need
RUN /usr/local/lib/mcdtest/need qemu && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt /usr/local/lib/mcdtest/need && \
    useradd --uid 10001 --create-home mcdtest && \
    install -d -o mcdtest -g mcdtest /artifacts && mkdir /qemu
COPY --from=build /out/ /usr/local/
USER 10001
WORKDIR /artifacts
ENTRYPOINT ["mcdtest"]
CMD ["suite", "--arch", "all", "--out", "/artifacts/result.jsonl", "--junit", "/artifacts/junit.xml", "--artifacts", "/artifacts/failures"]
