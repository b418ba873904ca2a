#!/bin/sh
# Remakes the pictures of README.md from the samples, with Chromium: sh assets/pictures/make.sh [BROWSER]
set -eu
browser=${1:-chromium}
cd "$(dirname "$0")/../.."
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
export SOURCE_DATE_EPOCH=1767225600
python3 scripts/compatibility_checker.py --before assets/database_schema_before.json \
  --after assets/database_schema_after.json -q -f json -o "$made/report.json" || [ $? = 2 ]
python3 scripts/migration_planner.py -i assets/sample_database_migration.json --compatibility "$made/report.json" \
  --start 2026-03-02T09:00 -q -f json -o "$made/plan.json"
python3 scripts/migration_planner.py -i assets/sample_database_migration.json --compatibility "$made/report.json" \
  --start 2026-03-02T09:00 -q -f html -o "$made/plan.html"
python3 scripts/rollback_generator.py -i "$made/plan.json" --inventory assets/sample_inventory.json \
  -q -f html -o "$made/runbook.html"
for name in plan runbook; do
  "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --force-device-scale-factor=1 \
    --window-size=1000,640 --screenshot="$PWD/assets/pictures/$name.png" "file://$made/$name.html" 2>/dev/null
done
