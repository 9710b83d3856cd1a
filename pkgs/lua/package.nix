{
  lib,
  debianMirror,
  debianPatches,
  fetchurl,
  tinyStdenv,
  # Whether the compiler to bytecode is there, too.
  withCompiler ? false,
}:
let
  version = "5.4.4";
in
tinyStdenv.mkDerivation {
  pname = "lua";
  inherit version;

  src = fetchurl {
    urls = [
      "https://www.lua.org/ftp/lua-${version}.tar.gz"
      (debianMirror "l/lua5.4/lua5.4_${version}.orig.tar.gz")
    ];
    hash = "sha256-Fkx4SWU7gK5nvsS3RzuIS/XMjS3KBWU0dewu0nuev2E=";
  };

  patches = debianPatches {
    name = "lua";
    src = fetchurl {
      name = "lua5.4_5.4.4-3-deb12u1.debian.tar.xz";
      url = debianMirror "l/lua5.4/lua5.4_5.4.4-3+deb12u1.debian.tar.xz";
      hash = "sha256-LY4OOAcixkjP7/uNWCh4ZWGbTQNVRNk9fvOi6vYnq+Y=";
    };
    patches = [
      # The compiler read beyond its buffer; errors overflowed the stack of C.
      "0004-cve-2022-28805.patch"
      "0005-cve-2022-33099.patch"
    ];
  };

  outputs = [
    "out"
    "dev"
  ];
  # A static program loads no libraries of C.
  makeFlags = [
    "-C"
    "src"
    "MYLIBS="
    "LIBS=-lm"
  ];
  preBuild = ''
    makeFlagsArray=("CC=$CC" "AR=$AR rcu" "RANLIB=$RANLIB" "CFLAGS=$CFLAGS -DLUA_USE_POSIX" "LDFLAGS=$LDFLAGS")
  '';
  buildFlags = [
    "a"
    "lua"
  ]
  ++ lib.optional withCompiler "luac";
  installPhase = ''
    install -D -m 755 -t "$out/bin" src/lua ${lib.optionalString withCompiler "src/luac"}
    install -D -m 644 -t "$dev/include" src/{lua,luaconf,lualib,lauxlib}.h src/lua.hpp
    install -D -m 644 -t "$dev/lib" src/liblua.a
  '';

  testScript = ''
    [ "$(run lua -e 'print(string.format("%d %s", 2^10, _VERSION))')" = "1024 Lua 5.4" ]
  '';

  meta = {
    description = "A small language for embedding";
    homepage = "https://www.lua.org/";
    license = lib.licenses.mit;
    mainProgram = "lua";
  };
}
