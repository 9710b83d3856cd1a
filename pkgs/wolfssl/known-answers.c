/* Twice the base point of P-256 (the number is in many books), and the hash of three letters (FIPS 180-2). */
#include <stdio.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/settings.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/sha256.h>

static int print_double(void)
{
    char text[2 * MAX_ECC_BYTES + 2];
    int curve = wc_ecc_get_curve_idx(ECC_SECP256R1);
    const ecc_set_type *params = wc_ecc_get_curve_params(curve);
    ecc_point *base = wc_ecc_new_point();
    ecc_point *twice = wc_ecc_new_point();
    mp_int two, a, prime;

    if (!base || !twice || mp_init_multi(&two, &a, &prime, NULL, NULL, NULL) != MP_OKAY ||
        mp_set_int(&two, 2) != MP_OKAY || mp_read_radix(&a, params->Af, 16) != MP_OKAY ||
        mp_read_radix(&prime, params->prime, 16) != MP_OKAY ||
        mp_read_radix(base->x, params->Gx, 16) != MP_OKAY ||
        mp_read_radix(base->y, params->Gy, 16) != MP_OKAY ||
        mp_set_int(base->z, 1) != MP_OKAY ||
        wc_ecc_mulmod(&two, base, twice, &a, &prime, 1) != MP_OKAY ||
        mp_toradix(twice->x, text, 16) != MP_OKAY)
        return 1;
    printf("%s\n", text);
    return 0;
}

int main(void)
{
    unsigned char digest[WC_SHA256_DIGEST_SIZE];
    size_t i;

    if (wc_Sha256Hash((const unsigned char *)"abc", 3, digest) != 0)
        return 1;
    for (i = 0; i < sizeof(digest); i++)
        printf("%02x", digest[i]);
    printf("\n");
    return print_double();
}
