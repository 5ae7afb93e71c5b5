#!/bin/sh
# Settings for `docker compose up`, with secrets made just now: (umask 077; sh deploy/new_env.sh chat.example.org >.env)
set -eu
host="${1:?Name the host that people open, such as chat.example.org (localhost to try it)}"
# Letters and digits alone: what begins with a hyphen, Redis' server takes for another option.
secret() { head -c 48 /dev/urandom | base64 | tr -d '\n' | tr '+/' 'xy'; }
word() { head -c 24 /dev/urandom | base64 | tr -d '\n' | tr '+/' 'xy'; }
cat <<END
# Keep this file apart from backups: with a backup of the database and these, everything can be read.
ALLOWED_HOSTS=$host
BASE_URL=https://$host
SITE_ADDRESS=https://$host
SECRET_KEY=$(secret)
AUDIT_SIGNING_KEYS=$(secret)
POSTGRES_PASSWORD=$(word)
REDIS_PASSWORD=$(word)
METRICS_TOKEN=$(secret)

# The model: these lines for Ollama beside it (docker compose --profile ollama up), or others of .env.example
OLLAMA_HOST=http://ollama:11434
DEFAULT_MODEL=ollama/llama3.2

# Mail: without it nobody can confirm an address, and so nobody who signs up can sign in
#EMAIL_URL=smtp+tls://user:password@mail.example.org:587
#DEFAULT_FROM_EMAIL=Nono <nono@$host>
#ALERT_MAIL=ops@example.org

# How many web processes and reply workers there are
#WEB_REPLICAS=2
#REPLIES_REPLICAS=1
END
