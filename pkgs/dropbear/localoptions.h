/* What of dropbear is built: a server with public keys and today's ciphers, for small systems. */
#define DROPBEAR_SMALL_CODE 1
#define DROPBEAR_SVR_PASSWORD_AUTH 0
#define DROPBEAR_SVR_PAM_AUTH 0
#define DROPBEAR_DSS 0
#define DROPBEAR_ECDSA 0
#define DROPBEAR_SK_KEYS 0
#define DROPBEAR_DH_GROUP14_SHA1 0
#define DROPBEAR_DH_GROUP14_SHA256 0
#define DROPBEAR_ECDH 0
#define DROPBEAR_3DES 0
#define DROPBEAR_SHA1_HMAC 0
#define DROPBEAR_X11FWD 0
#define DROPBEAR_SVR_AGENTFWD 0
#define DROPBEAR_SVR_LOCALTCPFWD 0
#define DROPBEAR_SVR_REMOTETCPFWD 0
#define DO_MOTD 0
#define INETD_MODE 0
#define DROPBEAR_REEXEC 0

/* Where commands are that are run without a login shell. */
#define DEFAULT_PATH "/run/current-system/sw/bin:/usr/bin:/bin"
#define DEFAULT_ROOT_PATH DEFAULT_PATH
