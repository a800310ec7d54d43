#include "maker.h"

/* --- helpers --- */

static int open_bytes(const void *content, size_t size, neap_trace **trace, neap_err *err) {
  FILE *stream = tmpfile();
  assert_non_null(stream);
  assert_int_equal(fwrite(content, 1, size, stream), size);
  rewind(stream);
  return neap_trace_open_stream(stream, "t.csv", trace, err);
}

/* Reads all of it in pieces of `piece`: the number of requests, or the error. */
static int64_t read_all(const void *content, size_t size, neap_trace_request *out, int piece, neap_err *err) {
  neap_trace *trace;
  int rc = open_bytes(content, size, &trace, err);
  if (rc) return rc;
  int64_t total = 0;
  for (int count; (count = neap_trace_read(trace, out + total, piece, err)) != 0; total += count)
    if (count < 0) {
      total = count;
      break;
    }
  neap_trace_close(&trace);
  return total;
}

static void assert_same(const neap_trace_request *a, const neap_trace_request *b, size_t count) {
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(a[i].time, b[i].time);
    assert_int_equal(a[i].key, b[i].key);
    assert_int_equal(a[i].size, b[i].size);
  }
}

static void assert_csv_error(const char *text, const char *expected) {
  neap_trace_request out[16];
  neap_err err = {0};
  assert_true(read_all(text, strlen(text), out, 16, &err) < 0);
  assert_string_equal(err.text, expected);
}

/* --- csv --- */

static void test_csv_takes_negative_keys_headers_blanks_and_a_missing_last_newline(void **state) {
  (void)state;
  static const char text[] =
      "Time, key ,SIZE\r\n0,1,2\n\n -5 ,\t-9223372036854775808 , 4294967295 \r\n7,18446744073709551615,3";
  static const neap_trace_request expected[] = {
      {0, 1, 2}, {-5, UINT64_C(1) << 63, UINT32_MAX}, {7, UINT64_MAX, 3}};
  neap_trace_request out[8];
  neap_err err;
  assert_int_equal(read_all(text, sizeof text - 1, out, 8, &err), 3);
  assert_same(out, expected, 3);
}

static void test_csv_leaves_out_and_counts_requests_of_size_0(void **state) {
  (void)state;
  static const char text[] = "1,1,0\n2,2,5\n3,3,0\n";
  neap_trace *trace;
  neap_trace_request out[4];
  assert_int_equal(open_bytes(text, sizeof text - 1, &trace, NULL), 0);
  assert_int_equal(neap_trace_read(trace, out, 4, NULL), 1);
  assert_int_equal(out[0].key, 2);
  assert_int_equal(neap_trace_skipped(trace), 2);
  assert_string_equal(neap_trace_format(trace), "csv");
  neap_trace_close(&trace);
}

static void test_csv_errors_name_file_line_and_what_was_expected(void **state) {
  (void)state;
  assert_csv_error("0,1,2\nx,1,2\n", "t.csv:2: error: time must be an integer of 64 bits, in 'x,1,2'");
  assert_csv_error("1.5,1,2\n", "t.csv:1: error: time must be followed by a comma, in '1.5,1,2'");
  assert_csv_error("0;1;2\n", "t.csv:1: error: time must be followed by a comma, in '0;1;2'");
  assert_csv_error("0,one,2\n", "t.csv:1: error: key must be an integer of 64 bits, in '0,one,2'");
  assert_csv_error("0,1\n", "t.csv:1: error: key must be followed by a comma, in '0,1'");
  assert_csv_error("0,1,-2\n", "t.csv:1: error: size must be an integer from 0 to 4294967295, in '0,1,-2'");
  assert_csv_error("0,1,4294967296\n",
                   "t.csv:1: error: size must be an integer from 0 to 4294967295, in '0,1,4294967296'");
  assert_csv_error("0,1,2,3\n",
                   "t.csv:1: error: size must end the line: expected time,key,size, in '0,1,2,3'");
  assert_csv_error("key,time,size\n0,1,2\n",
                   "t.csv:1: error: time must be an integer of 64 bits, in 'key,time,size'");
  assert_csv_error("0,1,2\ntime,key,size\n",
                   "t.csv:2: error: time must be an integer of 64 bits, in 'time,key,size'");
  assert_csv_error("0,18446744073709551616,2\n",
                   "t.csv:1: error: key must be an integer of 64 bits, in '0,18446744073709551616,2'");
  assert_csv_error("0,-9223372036854775809,2\n",
                   "t.csv:1: error: key must be an integer of 64 bits, in '0,-9223372036854775809,2'");
  assert_csv_error("9223372036854775808,1,2\n",
                   "t.csv:1: error: time must be an integer of 64 bits, in '9223372036854775808,1,2'");
  assert_csv_error("0,1,2\n0,-,2", "t.csv:2: error: key must be an integer of 64 bits, in '0,-,2'");
}

static void test_an_endless_line_is_an_error_not_a_crash(void **state) {
  (void)state;
  bytes b = {0};
  add_text(&b, "0,1,2\n0,");
  for (int i = 0; i < 3 << 20; i++) add_bytes(&b, i < 1 << 20 ? "7" : " ", 1);
  neap_trace_request out[4];
  neap_err err;
  assert_int_equal(read_all(b.at, b.size, out, 4, &err), NEAP_ESYNTAX);
  assert_memory_equal(err.text, "t.csv:2: error: key must be", 27);
  free(b.at);
}

static void test_bytes_of_0_inside_a_csv_are_an_error(void **state) {
  (void)state;
  bytes b = {0};
  for (int i = 0; i < 2000; i++) add_text(&b, "1,2,3\n");
  add_bytes(&b, "1,\0,2\n", 6);
  neap_trace_request out[2048];
  neap_err err;
  assert_int_equal(read_all(b.at, b.size, out, 16, &err), NEAP_ESYNTAX);
  assert_memory_equal(err.text, "t.csv:2001: error: key", 22);
  free(b.at);
}

/* --- what is no trace --- */

static void test_other_files_are_told_apart_by_content(void **state) {
  (void)state;
  static const char png[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0\0\0\1\0\x08\6\0\0\0";
  neap_trace *trace;
  neap_err err;
  assert_int_equal(open_bytes(png, sizeof png - 1, &trace, &err), NEAP_EINVAL);
  assert_string_equal(
      err.text,
      "t.csv: error: not a trace: neither csv 'time,key,size' nor oracleGeneral records of 24 bytes");
  assert_int_equal(open_bytes("\x1f\x8b\x08\0\0\0", 6, &trace, &err), NEAP_EINVAL);
  assert_string_equal(err.text, "t.csv: error: compressed in a way that is not read here (try: gzip -d)");
  assert_int_equal(open_bytes("\1\2\3", 3, &trace, &err), NEAP_EINVAL);
}

static void test_files_that_cannot_be_read_are_named(void **state) {
  (void)state;
  neap_trace *trace;
  neap_err err;
  assert_int_equal(neap_trace_open("/nowhere/t.csv", &trace, &err), NEAP_EIO);
  assert_string_equal(err.text, "/nowhere/t.csv: error: cannot open: No such file or directory");
  assert_int_equal(neap_trace_open("/tmp", &trace, &err), NEAP_EIO);
  assert_string_equal(err.text, "/tmp: error: cannot read: Is a directory");
}

static void test_an_empty_file_has_no_requests(void **state) {
  (void)state;
  neap_trace_request out[1];
  neap_err err;
  assert_int_equal(read_all("", 0, out, 1, &err), 0);
}

/* --- oracleGeneral --- */

static void test_a_record_cut_short_is_an_error_with_its_number(void **state) {
  (void)state;
  bytes b = {0};
  neap_trace_request request = {1, 2, 3}, out[4];
  for (int i = 0; i < 3; i++) add_record(&b, &request);
  neap_err err;
  assert_int_equal(read_all(b.at, b.size - 5, out, 4, &err), NEAP_ESYNTAX);
  assert_string_equal(err.text, "t.csv:3: error: the last record is cut short: 19 of 24 bytes");
  free(b.at);
}

/* --- both, plain and zstd --- */

enum { COUNT = 120000 }; /* more than one buffer of each kind */

static void assert_reads_back(const bytes *b, const neap_trace_request *expected) {
  neap_trace_request *out = calloc(COUNT + 4096, sizeof *out);
  neap_err err = {0};
  assert_int_equal(read_all(b->at, b->size, out, 4093, &err), COUNT);
  assert_same(out, expected, COUNT);
  free(out);
}

static void test_what_was_written_is_read_back_whatever_its_dress(void **state) {
  (void)state;
  neap_trace_request *requests = calloc(COUNT, sizeof *requests);
  for (int round = 0; round < 3; round++) {
    uint64_t random = (uint64_t)round;
    bytes plain = {0};
    for (int i = 0; i < COUNT; i++) {
      requests[i] = random_request(&random);
      if (round == 2)
        add_record(&plain, &requests[i]);
      else
        add_csv(&plain, &requests[i], round ? next_random(&random) : 0);
    }
    bytes zstd = packed(&plain);
    assert_reads_back(&plain, requests);
    assert_reads_back(&zstd, requests);
    free(plain.at);
    free(zstd.at);
  }
  free(requests);
}

static void test_zstd_frames_in_a_row_are_one_trace(void **state) {
  (void)state;
  bytes one = {0}, both = {0};
  add_text(&one, "1,2,3\n");
  bytes frame = packed(&one);
  add_bytes(&both, frame.at, frame.size);
  add_bytes(&both, frame.at, frame.size);
  neap_trace_request out[4];
  neap_err err;
  assert_int_equal(read_all(both.at, both.size, out, 4, &err), 2);
  free(one.at);
  free(both.at);
  free(frame.at);
}

/* A frame of random digits, which do not compress into nothing. */
static bytes random_frame(void) {
  bytes plain = {0};
  uint64_t random = 7;
  for (int i = 0; i < 50000; i++) {
    neap_trace_request request = random_request(&random);
    add_csv(&plain, &request, 0);
  }
  bytes frame = packed(&plain);
  free(plain.at);
  return frame;
}

static void test_truncated_and_corrupt_zstd_are_errors(void **state) {
  (void)state;
  bytes frame = random_frame();
  neap_trace_request *out = calloc(60000, sizeof *out);
  neap_err err;
  for (size_t cut = frame.size - 1; cut > 4; cut = cut * 2 / 3) {
    assert_int_equal(read_all(frame.at, cut, out, 1000, &err), NEAP_EIO);
    assert_string_equal(err.text, "t.csv: error: truncated zstd stream");
  }
  add_text(&frame, "garbage after the frame");
  assert_int_equal(read_all(frame.at, frame.size, out, 1000, &err), NEAP_EIO);
  assert_string_equal(err.text, "t.csv: error: corrupt zstd stream: Unknown frame descriptor");
  frame.at[5] = '\xff'; /* a block header */
  assert_true(read_all(frame.at, frame.size, out, 1000, &err) < 0);
  free(frame.at);
  free(out);
}

static void test_windows_above_32_mib_are_refused(void **state) {
  (void)state;
  static const char text[] = "1,2,3\n";
  ZSTD_CCtx *zstd = ZSTD_createCCtx();
  char frame[256];
  for (int window_log = 25; window_log <= 26; window_log++) {
    ZSTD_CCtx_reset(zstd, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, window_log);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_contentSizeFlag, 0);
    ZSTD_inBuffer in = {text, sizeof text - 1, 0};
    ZSTD_outBuffer out = {frame, sizeof frame, 0};
    /* Flushed before it ends: otherwise the window shrinks to what was given. */
    assert_false(ZSTD_isError(ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_flush)));
    assert_int_equal(ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_end), 0);
    neap_trace_request request[2];
    neap_err err = {0};
    int64_t got = read_all(frame, out.pos, request, 2, &err);
    assert_int_equal(got, window_log == 25 ? 1 : NEAP_EIO);
    if (got < 0) assert_non_null(strstr(err.text, "window is larger than 32 MiB"));
  }
  ZSTD_freeCCtx(zstd);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_csv_takes_negative_keys_headers_blanks_and_a_missing_last_newline),
      cmocka_unit_test(test_csv_leaves_out_and_counts_requests_of_size_0),
      cmocka_unit_test(test_csv_errors_name_file_line_and_what_was_expected),
      cmocka_unit_test(test_an_endless_line_is_an_error_not_a_crash),
      cmocka_unit_test(test_bytes_of_0_inside_a_csv_are_an_error),
      cmocka_unit_test(test_other_files_are_told_apart_by_content),
      cmocka_unit_test(test_files_that_cannot_be_read_are_named),
      cmocka_unit_test(test_an_empty_file_has_no_requests),
      cmocka_unit_test(test_a_record_cut_short_is_an_error_with_its_number),
      cmocka_unit_test(test_what_was_written_is_read_back_whatever_its_dress),
      cmocka_unit_test(test_zstd_frames_in_a_row_are_one_trace),
      cmocka_unit_test(test_truncated_and_corrupt_zstd_are_errors),
      cmocka_unit_test(test_windows_above_32_mib_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
