"""Settings, read once from environment variables; `.env.example` lists them all.

The defaults are the embedded start: SQLite, a queue of files and all state under DATA_DIR.
"""

import sys
from pathlib import Path
from typing import Any

import dj_database_url
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from topicassign.env import env_bool, env_int, env_list, env_numbers, env_secret, env_str, env_url
from topicassign.logs import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env_str("DATA_DIR", str(BASE_DIR / "var"))).expanduser().resolve()
DATA_DIR.mkdir(parents=True, exist_ok=True)

TESTING = "pytest" in sys.modules
DEBUG = env_bool("DEBUG", False)
SECRET_KEY = env_secret("SECRET_KEY", DATA_DIR / "secret_key")
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"])
SITE_URL = env_str("SITE_URL", "http://127.0.0.1:8000")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS", [SITE_URL] if SITE_URL.startswith("https://") else [])

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.forms",
    "template_partials",
    "csp",
    "axes",
    "rest_framework",
    "drf_spectacular",
    "django_structlog",
    "topicassign",
    "projects",
    "topics",
    "rows",
    "finetune",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "topicassign.middleware.CompressMiddleware",
    "topicassign.middleware.RequestMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "topicassign.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "topicassign.middleware.ApplicationErrorMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "topicassign.urls"
WSGI_APPLICATION = "topicassign.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "topicassign.context.ui",
            ],
        },
    },
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# --- data -----------------------------------------------------------------------------------------
DATABASES = {
    "default": dj_database_url.parse(
        env_str("DATABASE_URL") or f"sqlite:///{DATA_DIR / 'db.sqlite3'}",
        conn_max_age=60,
        conn_health_checks=True,
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["CONN_MAX_AGE"] = None
    DATABASES["default"]["OPTIONS"] = {
        # IMMEDIATE: a transaction that will write waits for its turn at the start, instead of failing half way.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-64000;",
    }
if suffix := env_str("TEST_DB_SUFFIX"):
    on_sqlite = DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"
    name = str(DATA_DIR / f"test_{suffix}.sqlite3") if on_sqlite else f"test_topicassign_{suffix}"
    DATABASES["default"]["TEST"] = {"NAME": name}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env_str("REDIS_URL")
QUEUE_NAME = env_str("QUEUE_NAME", "topicassign")  # names the queue and the cache: two sites may share a Redis
CACHES = {
    "default": (
        {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": QUEUE_NAME,
        }
        if REDIS_URL and not TESTING
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "topicassign"}
    )
}

# --- files ----------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG or TESTING
        else "topicassign.storage.ModuleStorage"
    },
}
WHITENOISE_USE_FINDERS = DEBUG or TESTING
MEDIA_ROOT = DATA_DIR / "media"
UPLOAD_DIR = DATA_DIR / "uploads"
EXPORT_DIR = DATA_DIR / "exports"
CACHE_DIR = DATA_DIR / "cache"
FILE_UPLOAD_TEMP_DIR = None
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5_000

# --- limits (spec S1.7); every one has a message that names it ------------------------------------
LIMIT_FILE_MB = env_int("LIMIT_FILE_MB", 150, minimum=1)
LIMIT_COLUMNS = env_int("LIMIT_COLUMNS", 200, minimum=1)
LIMIT_TEXT_COLUMNS = env_int("LIMIT_TEXT_COLUMNS", 25, minimum=1)
LIMIT_ROWS = env_int("LIMIT_ROWS", 1_000_000, minimum=1)
LIMIT_TEXT_CHARS = env_int("LIMIT_TEXT_CHARS", 20_000, minimum=100)
LIMIT_TOPICS = env_int("LIMIT_TOPICS", 800, minimum=1)
# Tables with fewer rows are filtered and sorted as they are; larger ones get an index of their cells and texts.
INDEX_FROM_ROWS = env_int("INDEX_FROM_ROWS", 20_000, minimum=1)
EXPORT_KEEP_DAYS = env_int("EXPORT_KEEP_DAYS", 7, minimum=1)
RESTORE_DAYS = env_int("RESTORE_DAYS", 30, minimum=1)

# --- people ---------------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "projects:list"
LOGOUT_REDIRECT_URL = None  # a page that says so, with a way back
CSRF_FAILURE_VIEW = "topicassign.views.csrf_failure"
PASSWORD_RESET_TIMEOUT = 60 * 60 * 24
AXES_FAILURE_LIMIT = env_int("LOGIN_FAILURE_LIMIT", 5, minimum=1)
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_TEMPLATE = "registration/locked.html"
AXES_HTTP_RESPONSE_CODE = 429
AXES_ENABLED = not TESTING or env_bool("AXES_IN_TESTS", False)
AXES_VERBOSE = False
EMAIL_BACKEND = env_str("EMAIL_BACKEND", "django.core.mail.backends.console.EmailBackend")
EMAIL_HOST = env_str("EMAIL_HOST", "localhost")
EMAIL_PORT = env_int("EMAIL_PORT", 25)
EMAIL_HOST_USER = env_str("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env_str("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = env_bool("EMAIL_USE_TLS", False)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env_str("DEFAULT_FROM_EMAIL", "TopicAssign <topicassign@localhost>")
INVITATION_DAYS = env_int("INVITATION_DAYS", 14, minimum=1)

# --- transport security ---------------------------------------------------------------------------
BEHIND_TLS = env_bool("BEHIND_TLS", SITE_URL.startswith("https://"))
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 14
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if BEHIND_TLS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = env_bool("SSL_REDIRECT", True)
    SECURE_REDIRECT_EXEMPT = [r"^health/$"]  # asked by the machine itself, without the proxy before it
    SECURE_HSTS_SECONDS = env_int("HSTS_SECONDS", 31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = env_bool("HSTS_INCLUDE_SUBDOMAINS", False)
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "object-src": [NONE],
    }
}

# --- language and time ----------------------------------------------------------------------------
LANGUAGE_CODE = "en"
# A language needs a complete catalogue: see docs/front-end.md.
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LANGUAGE_COOKIE_AGE = 60 * 60 * 24 * 365
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SECURE = BEHIND_TLS
# Off on purpose: ids and amounts in attributes, addresses and SVG would get separators too. Numbers that people
# read go through the filters of templatetags/ui.py and topicassign/numbers.py.
USE_THOUSAND_SEPARATOR = False
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = env_str("TIME_ZONE", "UTC")
USE_TZ = True

# --- background jobs ------------------------------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL or "filesystem://"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_DEFAULT_QUEUE = QUEUE_NAME
if REDIS_URL:
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
        "visibility_timeout": 24 * 3600,
        "socket_connect_timeout": 1,
        "socket_timeout": 10,
    }
else:
    QUEUE_DIR = DATA_DIR / "queue"
    CONTROL_DIR = DATA_DIR / "control"
    PROCESSED_DIR = DATA_DIR / "processed"
    for folder in (QUEUE_DIR, CONTROL_DIR, PROCESSED_DIR):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(QUEUE_DIR),
        "data_folder_out": str(QUEUE_DIR),
        "control_folder": str(CONTROL_DIR),
        "processed_folder": str(PROCESSED_DIR),
        "store_processed": False,
        "polling_interval": 0.2,
    }
JOB_LEASE_S = env_int("JOB_LEASE_S", 60, minimum=2)
JOB_HEARTBEAT_S = max(1, min(5, JOB_LEASE_S // 3))
JOB_RECOVERY_S = env_int("JOB_RECOVERY_S", 5, minimum=1)
JOB_MAX_ATTEMPTS = env_int("JOB_MAX_ATTEMPTS", 3, minimum=1)

# --- the AI ---------------------------------------------------------------------------------------
# Dotted path of the class that turns texts into vectors; its interface is finetune.engine.Encoder.
ENCODER_CLASS = env_str("ENCODER_CLASS", "finetune.engine.Encoder")
ENCODER_PATH = env_str("ENCODER_PATH")
ENCODER_ALLOW_DOWNLOAD = env_bool("ENCODER_ALLOW_DOWNLOAD", True)
LOAD_MODELS_IN_THREADS = not TESTING  # an in-memory database belongs to one thread
REVIEWS_PER_UPDATE = env_int("REVIEWS_PER_UPDATE", 5, minimum=1)
# Numbers of reviews at which the encoder is fine-tuned, then at every doubling of the last. Empty: never.
DEEP_UPDATES_AT = env_numbers("DEEP_UPDATES_AT", "20,50,100,200,300")
TOPIC_CHANGE_DEBOUNCE_S = env_int("TOPIC_CHANGE_DEBOUNCE_S", 5)
FOCUS_LEASE_S = env_int("FOCUS_LEASE_S", 300, minimum=30)  # how long a row of focus mode stays one person's
AUDIT_SHARE_PERCENT = env_int("AUDIT_SHARE_PERCENT", 20)
if AUDIT_SHARE_PERCENT > 100:
    raise ImproperlyConfigured(f"AUDIT_SHARE_PERCENT must be at most 100, got {AUDIT_SHARE_PERCENT}.")

# An OpenAI-compatible endpoint that may be asked for names of proposed topics. Empty: nothing is ever sent.
LLM_URL = env_url("LLM_URL")
LLM_MODEL = env_str("LLM_MODEL")
LLM_API_KEY = env_str("LLM_API_KEY")
LLM_TIMEOUT_S = env_int("LLM_TIMEOUT_S", 60, minimum=1)
if LLM_URL and not LLM_MODEL:
    raise ImproperlyConfigured("LLM_MODEL must name the model that LLM_URL is asked for.")

# --- API ------------------------------------------------------------------------------------------
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "topicassign.errors.api_exception_handler",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "TopicAssign",
    "VERSION": "0.1.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
}

# --- logs -----------------------------------------------------------------------------------------
LOGGING = logging_config(json=env_bool("LOG_JSON", not sys.stderr.isatty()), level=env_str("LOG_LEVEL", "INFO"))
DJANGO_STRUCTLOG_CELERY_ENABLED = False

if TESTING:
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
