/* A milter that is asked about everything and changes nothing: the counterpart of six plugins that do nothing. */
#include <libmilter/mfapi.h>
#include <stdlib.h>

static sfsistat next_connect(SMFICTX *c, char *h, _SOCK_ADDR *a) { (void)c; (void)h; (void)a; return SMFIS_CONTINUE; }
static sfsistat next_text(SMFICTX *c, char *t) { (void)c; (void)t; return SMFIS_CONTINUE; }
static sfsistat next_path(SMFICTX *c, char **p) { (void)c; (void)p; return SMFIS_CONTINUE; }
static sfsistat next_header(SMFICTX *c, char *n, char *v) { (void)c; (void)n; (void)v; return SMFIS_CONTINUE; }
static sfsistat next_body(SMFICTX *c, unsigned char *b, size_t n) { (void)c; (void)b; (void)n; return SMFIS_CONTINUE; }
static sfsistat next(SMFICTX *c) { (void)c; return SMFIS_CONTINUE; }

int main(int count, char **words) {
    struct smfiDesc filter = {
        .xxfi_name = "noop", .xxfi_version = SMFI_VERSION, .xxfi_connect = next_connect, .xxfi_helo = next_text,
        .xxfi_envfrom = next_path, .xxfi_envrcpt = next_path, .xxfi_header = next_header, .xxfi_eoh = next,
        .xxfi_body = next_body, .xxfi_eom = next,
    };
    if (count != 2 || smfi_setconn(words[1]) == MI_FAILURE || smfi_register(filter) == MI_FAILURE) return 64;
    return smfi_main() == MI_SUCCESS ? EXIT_SUCCESS : EXIT_FAILURE;
}
