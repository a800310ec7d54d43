/* HTTP dates: one form written, three read. Proleptic Gregorian calendar, GMT only. */
#include "http/caching.h"
#include "http/text.h"

static const char weekdays[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char *const long_weekdays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                            "Thursday", "Friday", "Saturday"};

/* --- calendar: years that begin in March, so that the leap day is the last ----------------------------- */

static int64_t days_of(int64_t year, int month, int day) {
  int64_t y = month <= 2 ? year - 1 : year;
  int64_t era = y / 400, of_era = y % 400;
  int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, int64_t *year, int *month, int *day) {
  int64_t z = days + 719468, era = z / 146097, of_era = z % 146097;
  int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
  int64_t shifted = (5 * of_year + 2) / 153;
  *day = (int)(of_year - (153 * shifted + 2) / 5 + 1);
  *month = (int)(shifted < 10 ? shifted + 3 : shifted - 9);
  *year = y + era * 400 + (*month <= 2);
}

static int days_in(int64_t year, int month) {
  static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return days[month - 1] + (month == 2 && leap);
}

/* --- writing ----------------------------------------------------------------------------------------- */

static void put2(char *out, int64_t number) {
  out[0] = (char)('0' + number / 10);
  out[1] = (char)('0' + number % 10);
}

void neap_http_date_write(char out[NEAP_HTTP_DATE_SIZE], int64_t unix_s) {
  int64_t days = unix_s / 86400, seconds = unix_s % 86400, year;
  int month, day;
  date_of(days, &year, &month, &day);
  memcpy(out, "Sun, 00 Jan 0000 00:00:00 GMT", NEAP_HTTP_DATE_SIZE);
  memcpy(out, weekdays + 3 * ((days + 4) % 7), 3);
  put2(out + 5, day);
  memcpy(out + 8, months + 3 * (month - 1), 3);
  put2(out + 12, year / 100);
  put2(out + 14, year % 100);
  put2(out + 17, seconds / 3600);
  put2(out + 20, seconds / 60 % 60);
  put2(out + 23, seconds % 60);
}

/* --- reading ----------------------------------------------------------------------------------------- */

/* What is being read: every take_ moves on, or notes that the text is not as it should be. */
typedef struct reader {
  const char *at, *end;
  bool bad;
} reader;

static void take_text(reader *r, const char *text) {
  size_t size = strlen(text);
  r->bad = r->bad || (size_t)(r->end - r->at) < size || memcmp(r->at, text, size) != 0;
  if (!r->bad) r->at += size;
}

static int take_digits(reader *r, size_t count) {
  uint64_t number = 0;
  r->bad = r->bad || (size_t)(r->end - r->at) < count || neap_http_number(r->at, count, 9999, &number);
  if (!r->bad) r->at += count;
  return (int)number;
}

/* The place, from 0, of three letters in `names`. */
static int take_name(reader *r, const char *names, int count) {
  if (r->bad || r->end - r->at < 3) r->bad = true;
  for (int i = 0; !r->bad && i < count; i++) {
    if (memcmp(r->at, names + 3 * i, 3) != 0) continue;
    r->at += 3;
    return i;
  }
  r->bad = true;
  return 0;
}

static int64_t take_time(reader *r) {
  int hours = take_digits(r, 2);
  take_text(r, ":");
  int minutes = take_digits(r, 2);
  take_text(r, ":");
  int seconds = take_digits(r, 2);
  r->bad = r->bad || hours > 23 || minutes > 59 || seconds > 60; /* 60: a leap second */
  return hours * 3600 + minutes * 60 + seconds;
}

/* Joins the parts, when they are a date and nothing follows. */
static int join(const reader *r, int64_t year, int month, int day, int64_t time, int64_t *unix_s) {
  if (r->bad || r->at != r->end || day < 1 || day > days_in(year, month)) return NEAP_ESYNTAX;
  *unix_s = days_of(year, month, day) * 86400 + time;
  return 0;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static int read_imf(reader r, int64_t *unix_s) {
  take_name(&r, weekdays, 7);
  take_text(&r, ", ");
  int day = take_digits(&r, 2);
  take_text(&r, " ");
  int month = take_name(&r, months, 12) + 1;
  take_text(&r, " ");
  int year = take_digits(&r, 4);
  take_text(&r, " ");
  int64_t time = take_time(&r);
  take_text(&r, " GMT");
  return join(&r, year, month, day, time, unix_s);
}

/* "Sun Nov  6 08:49:37 1994" */
static int read_asctime(reader r, int64_t *unix_s) {
  take_name(&r, weekdays, 7);
  take_text(&r, " ");
  int month = take_name(&r, months, 12) + 1;
  take_text(&r, " ");
  bool padded = r.at < r.end && *r.at == ' ';
  if (padded) r.at++;
  int day = take_digits(&r, padded ? 1 : 2);
  take_text(&r, " ");
  int64_t time = take_time(&r);
  take_text(&r, " ");
  int year = take_digits(&r, 4);
  return join(&r, year, month, day, time, unix_s);
}

/* "Sunday, 06-Nov-94 08:49:37 GMT" */
static int read_rfc850(reader r, int64_t now_s, int64_t *unix_s) {
  int64_t this_year, latest;
  int unused_month, unused_day;
  date_of(NEAP_MAX(now_s, 0) / 86400, &this_year, &unused_month, &unused_day);
  latest = this_year + 50;
  take_text(&r, ", ");
  int day = take_digits(&r, 2);
  take_text(&r, "-");
  int month = take_name(&r, months, 12) + 1;
  take_text(&r, "-");
  int64_t year = latest / 100 * 100 + take_digits(&r, 2);
  if (year > latest) year -= 100;
  take_text(&r, " ");
  int64_t time = take_time(&r);
  take_text(&r, " GMT");
  return join(&r, year, month, day, time, unix_s);
}

int neap_http_date_read(const char *text, size_t size, int64_t now_s, int64_t *unix_s) {
  reader r = {text, text + size, false};
  if (size > 3 && text[3] == ',') return read_imf(r, unix_s);
  if (size > 3 && text[3] == ' ') return read_asctime(r, unix_s);
  for (size_t i = 0; i < NEAP_COUNT_OF(long_weekdays); i++) {
    size_t length = strlen(long_weekdays[i]);
    if (size < length || memcmp(text, long_weekdays[i], length) != 0) continue;
    r.at += length;
    return read_rfc850(r, now_s, unix_s);
  }
  return NEAP_ESYNTAX;
}
