# TopicAssign: one image for the web server and for the worker (docker-compose.yml starts both).
#
# torch: the lock pins its version, and the package index decides which build of it you get. For a small
# image without GPU, offer pip the CPU build, e.g. as a wheel in ./wheels:
#   docker build --build-arg PIP_FIND_LINKS=/wheels .
# See docs/administration.md, "CPU or GPU".
FROM python:3.12-slim-bookworm AS build
ARG PIP_FIND_LINKS=""
ENV PIP_FIND_LINKS=$PIP_FIND_LINKS PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.lock wheel[s] /wheels/
RUN sed '/^# --- development/,$d' /wheels/requirements.lock > /run.lock \
 && python -m venv /venv \
 && /venv/bin/pip install -r /run.lock

FROM python:3.12-slim-bookworm
RUN groupadd --gid 10001 app \
 && useradd --uid 10001 --gid app --create-home --home-dir /home/app app \
 && install -d -o app -g app /data
COPY --from=build /venv /venv
WORKDIR /app
COPY manage.py LICENSE ./
COPY topicassign topicassign
COPY projects projects
COPY topics topics
COPY rows rows
COPY finetune finetune
COPY templates templates
COPY static static
COPY locale locale
COPY demo demo
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    DATA_DIR=/data HF_HUB_DISABLE_TELEMETRY=1 ENCODER_ALLOW_DOWNLOAD=no LOG_JSON=yes
USER app
VOLUME /data
EXPOSE 8000
# For two cores; the encoder lives in the worker only, so a web process stays small.
ENV WEB_WORKERS=2 WEB_THREADS=4
HEALTHCHECK --interval=15s --timeout=5s --start-period=40s --retries=4 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen(r.Request('http://127.0.0.1:8000/health/', headers={'Host': 'localhost', 'X-Forwarded-Proto': 'https'}), timeout=4)"]
CMD ["sh", "-c", "exec gunicorn topicassign.wsgi:application --bind 0.0.0.0:8000 --worker-class gthread --workers $WEB_WORKERS --threads $WEB_THREADS --timeout 120 --graceful-timeout 30 --max-requests 5000 --max-requests-jitter 500 --worker-tmp-dir /dev/shm --access-logfile -"]
