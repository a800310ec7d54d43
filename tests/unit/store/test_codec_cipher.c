/* The ciphers against published vectors, and against every bit that is not as it was. */
#include "codec_rig.h"

static size_t unhex(const char *text, char *out) {
  size_t size = strlen(text) / 2;
  for (size_t i = 0; i < size; i++) {
    char pair[3] = {text[2 * i], text[2 * i + 1], 0};
    out[i] = (char)strtoul(pair, NULL, 16);
  }
  return size;
}

typedef struct vector {
  neap_cipher cipher;
  const char *key, *nonce, *aad, *plain, *sealed, *tag; /* hex, but for `plain` */
} vector;

#define ABC_TO_X "4142434445464748494a4b4c4d4e4f505152535455565758"

static const vector vectors[] = {
    /* draft-irtf-cfrg-xchacha-03, A.3.1 */
    {NEAP_CIPHER_XCHACHA20_POLY1305, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
     "404142434445464748494a4b4c4d4e4f5051525354555657", "50515253c0c1c2c3c4c5c6c7",
     "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
     "sunscreen would be it.",
     "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39"
     "ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
     "21f9664c97637da9768812f615c68b13b52e",
     "c0875924c1c7987947deafd8780acf49"},
    /* C2SP XAES-256-GCM: the two branches of the doubling in CMAC */
    {NEAP_CIPHER_XAES_256_GCM, "0101010101010101010101010101010101010101010101010101010101010101", ABC_TO_X,
     "", "XAES-256-GCM", "ce546ef63c9cc60765923609", "b33a9a1974e96e52daf2fcf7075e2271"},
    {NEAP_CIPHER_XAES_256_GCM, "0303030303030303030303030303030303030303030303030303030303030303", ABC_TO_X,
     "633273702e6f72672f584145532d3235362d47434d", "XAES-256-GCM", "986ec1832593df5443a17943",
     "7fd083bf3fdb41abd740a21f71eb769d"},
};

typedef struct unpacked {
  neap_key key;
  char nonce[24], aad[64], sealed[256], tag[16];
  neap_view aad_view, plain;
} unpacked;

static unpacked unpack_vector(const vector *v) {
  unpacked u = {.key = {.id = 1}};
  assert_int_equal(unhex(v->key, (char *)u.key.bytes), 32);
  assert_int_equal(unhex(v->nonce, u.nonce), 24);
  assert_int_equal(unhex(v->tag, u.tag), 16);
  assert_int_equal(unhex(v->sealed, u.sealed), strlen(v->plain));
  u.plain = view(v->plain);
  return u;
}

static void test_ciphers_give_the_published_answers(void **state) {
  (void)state;
  neap_aead *aead;
  assert_int_equal(neap_aead_create(&aead), 0);
  for (size_t i = 0; i < NEAP_COUNT_OF(vectors); i++) {
    unpacked u = unpack_vector(&vectors[i]);
    neap_view aad = {u.aad, unhex(vectors[i].aad, u.aad)};
    char out[256], tag[16], back[256];
    neap_aead_forget(aead); /* keys lie at one address here */
    assert_int_equal(neap_aead_seal(aead, vectors[i].cipher, &u.key, u.nonce, aad, u.plain, out, tag), 0);
    assert_memory_equal(out, u.sealed, u.plain.size);
    assert_memory_equal(tag, u.tag, sizeof tag);
    neap_view as_sealed = {u.sealed, u.plain.size};
    assert_true(neap_aead_open(aead, vectors[i].cipher, &u.key, u.nonce, aad, as_sealed, u.tag, back));
    assert_memory_equal(back, u.plain.ptr, u.plain.size);
  }
  neap_aead_destroy(&aead);
}

/* Each bit of key, nonce, associated data, text and tag counts; what was refused leaves nothing behind. */
static void test_ciphers_refuse_every_flipped_bit_and_wipe(void **state) {
  (void)state;
  neap_aead *aead;
  assert_int_equal(neap_aead_create(&aead), 0);
  for (size_t i = 0; i < NEAP_COUNT_OF(vectors); i++) {
    unpacked u = unpack_vector(&vectors[i]);
    size_t size = u.plain.size, aad_size = unhex(vectors[i].aad, u.aad);
    char *parts[] = {(char *)u.key.bytes, u.nonce, u.aad, u.sealed, u.tag};
    size_t sizes[] = {sizeof u.key.bytes, sizeof u.nonce, aad_size, size, sizeof u.tag};
    for (size_t part = 0; part < NEAP_COUNT_OF(parts); part++)
      for (size_t bit = 0; bit < sizes[part] * 8; bit++) {
        char out[256], wiped[256] = {0};
        memset(out, 'x', sizeof out);
        parts[part][bit / 8] ^= (char)(1 << bit % 8);
        neap_aead_forget(aead);
        assert_false(neap_aead_open(aead, vectors[i].cipher, &u.key, u.nonce, (neap_view){u.aad, aad_size},
                                    (neap_view){u.sealed, size}, u.tag, out));
        assert_memory_equal(out, wiped, size);
        parts[part][bit / 8] ^= (char)(1 << bit % 8);
      }
  }
  neap_aead_destroy(&aead);
}

static void test_ciphers_take_empty_texts(void **state) {
  (void)state;
  neap_aead *aead;
  assert_int_equal(neap_aead_create(&aead), 0);
  neap_key key = {.id = 1, .bytes = {1}};
  char nonce[24] = {2}, tag[16], none[1];
  for (neap_cipher cipher = NEAP_CIPHER_XCHACHA20_POLY1305; cipher <= NEAP_CIPHER_XAES_256_GCM; cipher++) {
    assert_int_equal(neap_aead_seal(aead, cipher, &key, nonce, view("a"), view(""), none, tag), 0);
    assert_true(neap_aead_open(aead, cipher, &key, nonce, view("a"), view(""), tag, none));
    assert_false(neap_aead_open(aead, cipher, &key, nonce, view("b"), view(""), tag, none));
  }
  assert_int_equal(neap_aead_seal(aead, NEAP_CIPHER_NONE, &key, nonce, view("a"), view(""), none, tag),
                   NEAP_EINVAL);
  neap_aead_destroy(&aead);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ciphers_give_the_published_answers),
      cmocka_unit_test(test_ciphers_refuse_every_flipped_bit_and_wipe),
      cmocka_unit_test(test_ciphers_take_empty_texts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
