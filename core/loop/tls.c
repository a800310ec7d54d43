/* TLS over a stream: OpenSSL between two buffers in memory, the stream's bytes on their other side.
 *
 * A connection is
 *   1 connecting   the stream
 *   2 greeting     bytes go back and forth until both sides trust each other
 *   3 open         `connected` has been told
 */
#include "loop/inside.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum { FAULT = 120 };

struct neap_tls_client {
  SSL_CTX *settings;
};

struct neap_tls {
  neap_loop *loop;
  neap_stream *stream;
  const neap_stream_vt *vt;
  void *user;
  SSL *ssl;
  BIO *in, *out; /* of `ssl` */
  char *sending; /* what the stream keeps; NULL: nothing */
  bool open;
  bool *gone;      /* set when closed from within a callback */
  neap_timer more; /* for what a reader has left, which no socket tells of */
  char fault[FAULT];
};

/* --- settings */

static int refuse(neap_err *err, const char *what, const char *file) {
  char reason[160];
  ERR_error_string_n(ERR_peek_last_error(), reason, sizeof reason);
  ERR_clear_error();
  return neap_fail(err, NEAP_EINVAL, "%s \"%s\": %s", what, file, reason);
}

static int load(SSL_CTX *settings, const neap_tls_options *options, neap_err *err) {
  if (options->ca_file == NULL) {
    SSL_CTX_set_default_verify_paths(settings);
  } else if (SSL_CTX_load_verify_locations(settings, options->ca_file, NULL) != 1) {
    return refuse(err, "cannot read the authorities in", options->ca_file);
  }
  if (options->certificate_file == NULL) return 0;
  if (SSL_CTX_use_certificate_chain_file(settings, options->certificate_file) != 1)
    return refuse(err, "cannot read the certificate in", options->certificate_file);
  const char *key = options->key_file ? options->key_file : options->certificate_file;
  if (SSL_CTX_use_PrivateKey_file(settings, key, SSL_FILETYPE_PEM) != 1)
    return refuse(err, "cannot use the key in", key);
  return 0;
}

int neap_tls_client_create(const neap_tls_options *options, neap_tls_client **out, neap_err *err) {
  neap_tls_client *client = calloc(1, sizeof *client);
  if (client == NULL) return NEAP_ENOMEM;
  client->settings = SSL_CTX_new(TLS_client_method());
  int code = client->settings ? 0 : NEAP_ENOMEM;
  if (code == 0) {
    SSL_CTX_set_min_proto_version(client->settings, TLS1_2_VERSION);
    SSL_CTX_set_options(client->settings, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(client->settings, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(client->settings, SSL_VERIFY_PEER, NULL);
    code = load(client->settings, options, err);
  }
  if (code) {
    neap_tls_client_destroy(&client);
    return code;
  }
  *out = client;
  return 0;
}

void neap_tls_client_destroy(neap_tls_client **client) {
  if (*client == NULL) return;
  SSL_CTX_free((*client)->settings); /* connections have their reference */
  free(*client);
  *client = NULL;
}

/* --- faults */

static void note_fault(neap_tls *tls) {
  long verdict = SSL_get_verify_result(tls->ssl);
  const char *reason = ERR_reason_error_string(ERR_peek_last_error());
  if (verdict != X509_V_OK) reason = X509_verify_cert_error_string(verdict);
  snprintf(tls->fault, sizeof tls->fault, "%s", reason ? reason : "the connection was closed");
  ERR_clear_error();
}

const char *neap_tls_fault(const neap_tls *tls) {
  return tls->fault;
}

static void tell_failed(neap_tls *tls) {
  if (tls->open)
    tls->vt->failed(tls->user);
  else
    tls->vt->connected(tls->user, NEAP_EIO);
}

/* --- out */

/* Gives the stream what OpenSSL has written. 0, NEAP_EBUSY while some of it is kept, NEAP_EIO. */
static int flush(neap_tls *tls) {
  while (tls->sending == NULL) {
    size_t size = BIO_ctrl_pending(tls->out);
    if (size == 0) return 0;
    size = NEAP_MIN(size, (size_t)1 << 20);
    char *bytes = malloc(size);
    if (bytes == NULL || BIO_read(tls->out, bytes, (int)size) != (int)size) {
      free(bytes);
      return NEAP_EIO;
    }
    const struct iovec piece = {bytes, size};
    int code = neap_stream_send(tls->stream, &piece, 1);
    if (code == NEAP_EBUSY)
      tls->sending = bytes;
    else
      free(bytes);
    if (code == NEAP_EIO) return NEAP_EIO;
  }
  return NEAP_EBUSY;
}

int neap_tls_send(neap_tls *tls, const struct iovec *pieces, int count) {
  neap_assert(tls->open && tls->sending == NULL);
  for (int i = 0; i < count; i++) {
    const char *at = pieces[i].iov_base;
    for (size_t left = pieces[i].iov_len, part; left > 0; at += part, left -= part) {
      part = NEAP_MIN(left, (size_t)1 << 30);
      if (SSL_write(tls->ssl, at, (int)part) == (int)part) continue;
      note_fault(tls);
      return NEAP_EIO;
    }
  }
  return flush(tls);
}

bool neap_tls_sending(const neap_tls *tls) {
  return tls->sending != NULL;
}

/* --- in */

/* Brings bytes from the stream to OpenSSL: how many, 0 at the end, NEAP_EBUSY, NEAP_EIO. */
static ssize_t fetch(neap_tls *tls) {
  char *scratch = neap_loop_scratch(tls->loop);
  ssize_t got = neap_stream_read(tls->stream, scratch, NEAP_LOOP_SCRATCH);
  if (got > 0 && BIO_write(tls->in, scratch, (int)got) != (int)got) return NEAP_EIO;
  return got;
}

ssize_t neap_tls_read(neap_tls *tls, void *buffer, size_t capacity) {
  for (;;) {
    int got = SSL_read(tls->ssl, buffer, (int)NEAP_MIN(capacity, (size_t)1 << 30));
    if (got > 0) return got;
    int error = SSL_get_error(tls->ssl, got);
    if (error == SSL_ERROR_ZERO_RETURN) return 0;
    if (error != SSL_ERROR_WANT_READ || flush(tls) == NEAP_EIO) {
      note_fault(tls);
      return NEAP_EIO;
    }
    ssize_t fetched = fetch(tls);
    if (fetched <= 0) return fetched;
  }
}

/* Bytes that no socket will tell of any more. */
static bool has_more(const neap_tls *tls) {
  return SSL_pending(tls->ssl) > 0 || BIO_ctrl_pending(tls->in) > 0;
}

static void tell_readable(neap_tls *tls) {
  bool gone = false;
  tls->gone = &gone;
  tls->vt->readable(tls->user);
  if (gone) return;
  tls->gone = NULL;
  if (has_more(tls)) neap_timer_set(tls->loop, &tls->more, 0);
}

static void on_more(neap_timer *timer) {
  tell_readable(NEAP_CONTAINER_OF(timer, neap_tls, more));
}

/* --- greeting */

static void greet(neap_tls *tls) {
  for (;;) {
    int done = SSL_do_handshake(tls->ssl);
    int error = SSL_get_error(tls->ssl, done);
    if (flush(tls) == NEAP_EIO || (done != 1 && error != SSL_ERROR_WANT_READ)) break;
    if (done == 1) {
      tls->open = true;
      if (has_more(tls)) neap_timer_set(tls->loop, &tls->more, 0);
      tls->vt->connected(tls->user, 0);
      return;
    }
    ssize_t got = fetch(tls);
    if (got == NEAP_EBUSY) return;
    if (got <= 0) break;
  }
  note_fault(tls);
  tell_failed(tls);
}

/* --- the stream */

static void on_readable(void *user) {
  neap_tls *tls = user;
  if (tls->open)
    tell_readable(tls);
  else
    greet(tls);
}

static void on_sent(void *user) {
  neap_tls *tls = user;
  free(tls->sending);
  tls->sending = NULL;
  int code = flush(tls);
  if (code == NEAP_EIO)
    tell_failed(tls);
  else if (code == 0 && tls->open)
    tls->vt->sent(tls->user);
}

static void on_failed(void *user) {
  neap_tls *tls = user;
  snprintf(tls->fault, sizeof tls->fault, "the connection was closed");
  tell_failed(tls);
}

static void on_connected(void *user, int error) {
  neap_tls *tls = user;
  if (error) {
    snprintf(tls->fault, sizeof tls->fault, "cannot connect");
    tell_failed(tls);
  } else {
    greet(tls);
  }
}

/* --- birth and death */

/* The certificate must hold the name, or the address where it is one; which is then not asked for, as RFC
 * 6066 wants. */
static bool expect_name(SSL *ssl, const char *name) {
  unsigned char numbers[16];
  bool numeric = inet_pton(AF_INET, name, numbers) == 1 || inet_pton(AF_INET6, name, numbers) == 1;
  if (numeric) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

static int make_ssl(neap_tls *tls, neap_tls_client *client, const char *name) {
  tls->ssl = SSL_new(client->settings);
  if (tls->ssl == NULL) return NEAP_ENOMEM;
  tls->in = BIO_new(BIO_s_mem());
  tls->out = BIO_new(BIO_s_mem());
  if (tls->in == NULL || tls->out == NULL) {
    BIO_free(tls->in);
    BIO_free(tls->out);
    return NEAP_ENOMEM;
  }
  BIO_set_mem_eof_return(tls->in, -1); /* empty is not the end */
  BIO_set_mem_eof_return(tls->out, -1);
  SSL_set_bio(tls->ssl, tls->in, tls->out);
  SSL_set_connect_state(tls->ssl);
  return name[0] != '\0' && expect_name(tls->ssl, name) ? 0 : NEAP_EINVAL;
}

int neap_tls_connect(neap_loop *loop, neap_tls_client *client, const neap_address *address, const char *name,
                     const neap_stream_vt *vt, void *user, neap_tls **out) {
  static const neap_stream_vt own = {.name = "tls",
                                     .readable = on_readable,
                                     .sent = on_sent,
                                     .failed = on_failed,
                                     .connected = on_connected};
  neap_tls *tls = calloc(1, sizeof *tls);
  if (tls == NULL) return NEAP_ENOMEM;
  tls->loop = loop;
  tls->vt = vt;
  tls->user = user;
  neap_timer_init(&tls->more, on_more);
  int code = make_ssl(tls, client, name);
  if (code == 0) code = neap_stream_connect(loop, address, &own, tls, &tls->stream);
  if (code) {
    neap_tls_close(&tls);
    return code;
  }
  *out = tls;
  return 0;
}

void neap_tls_close(neap_tls **tls_ptr) {
  neap_tls *tls = *tls_ptr;
  if (tls == NULL) return;
  *tls_ptr = NULL;
  if (tls->gone) *tls->gone = true;
  if (tls->open && SSL_shutdown(tls->ssl) >= 0) flush(tls); /* says farewell where that costs no wait */
  ERR_clear_error();
  neap_timer_clear(&tls->more);
  neap_stream_close(&tls->stream);
  SSL_free(tls->ssl); /* and its buffers */
  free(tls->sending);
  free(tls);
}
