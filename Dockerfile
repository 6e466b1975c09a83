# Separate recordings and serve the page, on the processor, as a user without privileges:
#
#   docker build -t lab41_sce .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" lab41_sce separate talk.m4a
#   docker run --rm -p 127.0.0.1:7860:7860 lab41_sce demo --host 0.0.0.0 --port 7860
#
# The first `docker run` writes the voices beside talk.m4a; the second serves the page at http://localhost:7860.
FROM python:3.12-slim

WORKDIR /source
COPY . .
RUN python -m pip install --no-cache-dir -c constraints.txt ".[demo]"

# The user "nobody"; any other user may run the container too: caches go to /tmp.
ENV HOME=/tmp PYTHONUNBUFFERED=1
USER 65534:65534
WORKDIR /data
EXPOSE 7860
ENTRYPOINT ["lab41-sce"]
CMD ["--help"]
